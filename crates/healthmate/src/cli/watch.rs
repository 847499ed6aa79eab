//! `healthmate watch`

use std::io;

use clap::Args;
use healthmate_protocol::{Delivery, Ephemeral, Epoch, Offset, SubscribeSince, TopicName};

use super::failure::Failure;
use super::settings::system_clock;
use super::sign_in::SignInArgs;
use super::{asked_to_stop, block_on};
use crate::watch::{Format, Screen, Tail, Wanted};

/// Show a topic's events as they come, without a hole or a repeat
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Watch {
    #[arg(help = "Topic, such as health:patient-1, or one's own: health_updates, notifications")]
    topic: TopicName,
    /// Begin after this event instead of now
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = since)]
    since: Option<SubscribeSince>,
    /// Show the newest value of each metric, then new ones as fast as this terminal takes them
    #[arg(long, conflicts_with = "since")]
    latest: bool,
    /// Show waveforms too, such as an ECG
    #[arg(long)]
    waveform: bool,
    /// Show who watches the topic, and who comes and goes
    #[arg(long)]
    presence: bool,
    /// Stop after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each event's JSON as it came
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sign_in: SignInArgs,
}

const EXAMPLES: &str = "\
Examples:
  healthmate watch health:demo-ana --as demo-nora
  healthmate watch health:demo-ana --as demo-nora --waveform --presence
  healthmate watch health:demo-ana --as demo-nora --json --count 5 | jq .data.value";

impl Watch {
    /// Watches until enough events came or Ctrl-C.
    pub(crate) fn run(self) -> Result<(), Failure> {
        block_on(async move {
            let clock = system_clock();
            let reconnect = self.sign_in.reconnect("/ws/combined", &clock, |_| None).await?;
            let flags = [(self.waveform, Ephemeral::Waveform), (self.presence, Ephemeral::Presence)];
            let wanted = Wanted {
                since: self.since,
                delivery: if self.latest { Delivery::Latest } else { Delivery::Durable },
                include: flags.iter().filter(|(asked, _)| *asked).map(|(_, kind)| *kind).collect(),
            };
            let format = if self.json { Format::Json } else { Format::Columns };
            let watch = crate::watch::Watch {
                tail: Tail::new(self.topic, wanted),
                count: self.count,
                reconnect,
                viewer: Box::new(Screen::new(format, io::stdout(), io::stderr())),
            };
            let tail = watch.run(asked_to_stop()).await.map_err(Failure::failed)?;
            if let Some(since) = tail.since() {
                use io::Write;
                // Nobody reads stderr: there is nobody to tell.
                let _ = writeln!(io::stderr(), "to go on: --since {}:{}", since.epoch, since.offset);
            }
            Ok(())
        })
    }
}

fn since(text: &str) -> Result<SubscribeSince, String> {
    let (epoch, offset) = text.split_once(':').ok_or("write EPOCH:OFFSET, as `watch` prints at its end")?;
    let epoch: Epoch = epoch.parse().map_err(|error| format!("{error}"))?;
    let offset = offset.parse().map_err(|_| "the offset must be a whole number, 0 or more".to_owned())?;
    Ok(SubscribeSince { epoch, offset: Offset(offset) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_printed() {
        let place = since("k3J9-x:41").expect("valid");
        assert_eq!((place.epoch.as_str(), place.offset), ("k3J9-x", Offset(41)));
        for wrong in ["", "k3", "k3:", "k3:-1", ":4", "k 3:4"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
