//! `healthmate waveform`

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use healthmate_care::waveform::MAX_SAMPLE_RATE_HZ;
use healthmate_protocol::UserId;

use super::failure::Failure;
use super::replay::device_of;
use super::settings::system_clock;
use super::sign_in::SignInArgs;
use super::span::Span;
use super::{asked_to_stop, block_on, output};
use crate::client::{ClientError, Link};
use crate::waveform::{Ecg, Monitor};

/// Send a synthetic ECG as a monitor would, live, to whoever watches
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Waveform {
    /// Patient whose ECG it becomes
    #[arg(long, value_name = "ID")]
    patient: UserId,
    /// Samples per second
    #[arg(long, value_name = "HZ", default_value = "250", value_parser = rate)]
    rate: f64,
    /// Beats per minute
    #[arg(long, value_name = "BPM", default_value = "72", value_parser = clap::value_parser!(u16).range(20..=250))]
    heart_rate: u16,
    /// Stop after so long
    #[arg(long, value_name = "SPAN")]
    duration: Option<Span>,
    #[command(flatten)]
    sign_in: SignInArgs,
}

const EXAMPLES: &str = "\
Examples:
  healthmate waveform --patient demo-eli
  healthmate watch health:demo-eli --as demo-eli --waveform      in another terminal";

impl Waveform {
    /// Sends until its time is over or Ctrl-C.
    pub(crate) fn run(self) -> Result<(), Failure> {
        block_on(async move {
            let clock = system_clock();
            let reconnect = self
                .sign_in
                .reconnect("/ws/health", &clock, |users| Some(device_of(users, &self.patient)))
                .await?;
            say(&format!("sending an ECG of {}, {} samples per second", self.patient, self.rate));
            let monitor = Monitor {
                ecg: Ecg::new(self.heart_rate.into()),
                rate_hz: self.rate,
                patient: self.patient,
                duration: self.duration.map(|span| Duration::from_secs(span.seconds.into())),
                clock: Arc::clone(&clock),
                reconnect,
                link: Box::new(Notes),
            };
            let sent = monitor.run(asked_to_stop()).await.map_err(Failure::failed)?;
            output::line(&format!("{sent} strips sent"))
        })
    }
}

/// Says on stderr what becomes of the connection.
struct Notes;

impl Link for Notes {
    fn cut(&mut self, error: &ClientError, pause: Duration) {
        say(&format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
    }

    fn restored(&mut self) {
        say("connected again");
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=MAX_SAMPLE_RATE_HZ).contains(&rate) => Ok(rate),
        _ => Err(format!("must be a number from 1 to {MAX_SAMPLE_RATE_HZ}")),
    }
}

fn say(line: &str) {
    // Nobody reads stderr any more: there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_taken_as_far_as_the_server_does() {
        assert_eq!((rate("1"), rate("1000")), (Ok(1.0), Ok(1000.0)));
        for wrong in ["0.9", "1000.1", "-250", "NaN", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
