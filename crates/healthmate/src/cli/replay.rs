//! `healthmate replay`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use healthmate_care::{Metric, User};
use healthmate_protocol::UserId;

use super::failure::Failure;
use super::settings::system_clock;
use super::sign_in::SignInArgs;
use super::span::Span;
use super::{asked_to_stop, block_on, output};
use crate::replay::{Counts, Pace, Recording, Selection, Terminal};

/// Send a recording as a device would, and go on after every cut
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Replay {
    #[arg(help = "CSV file: t_ms,bpm · subject,time,mg_dl · time,value with --metric")]
    file: PathBuf,
    /// Patient whose measurements they become
    #[arg(long, value_name = "ID")]
    patient: UserId,
    /// Person in the file, where it holds several
    #[arg(long, value_name = "N")]
    subject: Option<String>,
    /// What the column `value` holds
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    metric: Option<Metric>,
    /// How many times faster than recorded
    #[arg(long, value_name = "FACTOR", default_value = "60", value_parser = speed)]
    speed: f64,
    /// Begin again at the end
    #[arg(long = "loop")]
    looped: bool,
    /// How much of the past to send first; a replay interrupted more recently goes on where it stopped
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    history: Span,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign_in: SignInArgs,
}

const EXAMPLES: &str = "\
Examples:
  healthmate replay data/heart-rate.csv --patient demo-eli --speed 1 --loop
  healthmate replay data/glucose.csv --subject 2 --patient demo-eli --data healthmate-data
  healthmate replay weight.csv --metric body_weight --patient p1 --token-file p1.token";

impl Replay {
    /// Replays until the recording ends or Ctrl-C.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let recording = self.recording()?;
        block_on(async move {
            let clock = system_clock();
            let reconnect = self
                .sign_in
                .reconnect("/ws/health", &clock, |users| Some(device_of(users, &self.patient)))
                .await?;
            let pace = Pace {
                speed: self.speed,
                looped: self.looped,
                history_ms: i64::from(self.history.seconds) * 1000,
            };
            let observer = Box::new(Terminal::new(Arc::clone(&clock), recording.name()));
            let replay = crate::replay::Replay {
                recording: Arc::new(recording),
                patient: self.patient,
                pace,
                clock,
                reconnect,
                observer,
            };
            let counts = replay.run(asked_to_stop()).await.map_err(Failure::failed)?;
            if self.json { output::json(&counts) } else { output::line(&summary(counts)) }
        })
    }

    fn recording(&self) -> Result<Recording, Failure> {
        let shown = self.file.display();
        let file =
            std::fs::File::open(&self.file).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let selection = Selection { subject: self.subject.clone(), metric: self.metric };
        Recording::read(&stem, std::io::BufReader::new(file), &selection)
            .map_err(|error| Failure::usage(format!("{shown}: {error}")))
    }
}

/// The patient's first device, or the patient where there is none.
pub(super) fn device_of(users: &[User], patient: &UserId) -> UserId {
    let device = users.iter().find(|user| user.active && user.device_of.as_ref() == Some(patient));
    device.map_or(patient, |device| &device.id).clone()
}

fn summary(counts: Counts) -> String {
    let Counts { sent, acknowledged, duplicates, skipped, resent } = counts;
    let mut text = format!("{acknowledged} measurements acknowledged of {sent} sent");
    for (count, what) in [
        (duplicates, "were there already"),
        (skipped, "were refused and skipped"),
        (resent, "were sent again"),
        (sent.saturating_sub(acknowledged + skipped), "were not answered"),
    ] {
        if count > 0 {
            text = format!("{text}; {count} {what}");
        }
    }
    text
}

fn metric(text: &str) -> Result<Metric, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.001..=1_000_000.0).contains(&speed) => Ok(speed),
        _ => Err("must be a number from 0.001 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use healthmate_care::Role;

    use super::*;

    #[test]
    fn a_summary_names_what_happened() {
        let counts = Counts { sent: 10, acknowledged: 7, duplicates: 2, skipped: 1, resent: 0 };
        assert_eq!(
            summary(counts),
            "7 measurements acknowledged of 10 sent; 2 were there already; 1 were refused and skipped; 2 were not answered"
        );
    }

    #[test]
    fn the_patients_active_device_signs_in() {
        let id = |text: &str| UserId::new(text).expect("valid");
        let device = |name: &str, patient: &str, active| User {
            id: id(name),
            role: Role::Device,
            name: name.to_owned(),
            device_of: Some(id(patient)),
            active,
        };
        let users = [device("d1", "q", true), device("d2", "p", false), device("d3", "p", true)];
        assert_eq!(device_of(&users, &id("p")), id("d3"));
        assert_eq!(device_of(&users, &id("r")), id("r"));
    }

    #[test]
    fn speeds_are_taken_within_reason() {
        assert_eq!(speed("0.001"), Ok(0.001));
        for wrong in ["0", "-1", "NaN", "inf", "1000001", "fast"] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }
}
