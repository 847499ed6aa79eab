//! The demo's devices: the same clients as `healthmate replay` and `healthmate waveform`, on a thread of their own,
//! over the real socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use healthmate_care::Clock;
use healthmate_protocol::UserId;
use healthmate_server::auth::TokenVerifier;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Backoff, Reconnect, Target, Token};
use crate::replay::{Pace, Quiet, Recording, Replay, Selection};
use crate::waveform::{Ecg, Monitor};

/// How long a device's token is good, in seconds. A device that comes back signs in with a new one.
const TTL_S: u32 = 3600;

/// How much of the past a device sends first, so that no chart is empty.
const HISTORY_MS: i64 = 10 * 60 * 1000;

/// A device and what it replays.
struct Device {
    id: &'static str,
    patient: &'static str,
    recording: &'static str,
    csv: &'static str,
    subject: Option<&'static str>,
    speed: f64,
}

const GLUCOSE: &str = include_str!("../../../../data/glucose.csv");
const HEART_RATE: &str = include_str!("../../../../data/heart-rate.csv");

const DEVICES: &[Device] = &[
    Device {
        id: "demo-ana-strap",
        patient: "demo-ana",
        recording: "heart-rate",
        csv: HEART_RATE,
        subject: None,
        speed: 1.0,
    },
    Device {
        id: "demo-ben-sensor",
        patient: "demo-ben",
        recording: "glucose",
        csv: GLUCOSE,
        subject: Some("1"),
        speed: 60.0,
    },
    Device {
        id: "demo-cho-sensor",
        patient: "demo-cho",
        recording: "glucose",
        csv: GLUCOSE,
        subject: Some("3"),
        speed: 60.0,
    },
];

/// A device that sends an ECG, at the mean rate of the patient's recording.
struct Patch {
    id: &'static str,
    patient: &'static str,
    rate_hz: f64,
    beats_per_minute: f64,
}

const PATCH: Patch =
    Patch { id: "demo-ana-patch", patient: "demo-ana", rate_hz: 250.0, beats_per_minute: 79.0 };

/// The devices' thread.
pub(crate) struct Devices {
    thread: JoinHandle<()>,
}

impl Devices {
    /// Waits until the devices have stopped.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the devices of the demo panicked");
        }
    }
}

/// Starts the devices against the server at `address`, with tokens of `signer`, until `stopping` turns true.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn start_devices(
    address: SocketAddr,
    signer: TokenVerifier,
    clock: Arc<dyn Clock>,
    stopping: watch::Receiver<bool>,
) -> io::Result<Devices> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signer = Arc::new(signer);
    let run = move || runtime.block_on(run(address, &signer, &clock, &stopping));
    let thread = std::thread::Builder::new().name("demo-devices".to_owned()).spawn(run)?;
    Ok(Devices { thread })
}

async fn run(
    address: SocketAddr,
    signer: &Arc<TokenVerifier>,
    clock: &Arc<dyn Clock>,
    stopping: &watch::Receiver<bool>,
) {
    let mut running = JoinSet::new();
    for device in DEVICES {
        match device.replay(address, signer, clock) {
            Ok(replay) => {
                let stop = stopped(stopping.clone());
                running
                    .spawn(async move { (device.id, replay.run(stop).await.err().map(anyhow::Error::from)) });
            }
            Err(error) => cannot_start(device.id, &error),
        }
    }
    match PATCH.monitor(address, signer, clock) {
        Ok(monitor) => {
            let stop = stopped(stopping.clone());
            running.spawn(async move { (PATCH.id, monitor.run(stop).await.err().map(anyhow::Error::from)) });
        }
        Err(error) => cannot_start(PATCH.id, &error),
    }
    while let Some(ended) = running.join_next().await {
        if let Ok((device, Some(error))) = ended {
            tracing::warn!(device, %error, "a device of the demo gave up");
        }
    }
}

fn cannot_start(device: &str, error: &anyhow::Error) {
    tracing::error!(device, %error, "a device of the demo cannot start");
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone stops the devices too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

impl Device {
    fn replay(
        &self,
        address: SocketAddr,
        signer: &Arc<TokenVerifier>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Replay> {
        let selection = Selection { subject: self.subject.map(str::to_owned), metric: None };
        let recording = Recording::read(self.recording, self.csv.as_bytes(), &selection)?;
        let observer = Box::new(Quiet::new(recording.name()));
        Ok(Replay {
            patient: self.patient.parse()?,
            pace: Pace { speed: self.speed, looped: true, history_ms: HISTORY_MS },
            clock: Arc::clone(clock),
            reconnect: reconnect(self.id, address, signer, clock)?,
            observer,
            recording: Arc::new(recording),
        })
    }
}

impl Patch {
    fn monitor(
        &self,
        address: SocketAddr,
        signer: &Arc<TokenVerifier>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Monitor> {
        Ok(Monitor {
            ecg: Ecg::new(self.beats_per_minute),
            rate_hz: self.rate_hz,
            patient: self.patient.parse()?,
            duration: None,
            clock: Arc::clone(clock),
            reconnect: reconnect(self.id, address, signer, clock)?,
            link: Box::new(Quiet::new("ECG")),
        })
    }
}

/// Makes the connections of `device`, each with a token of its own.
fn reconnect(
    device: &str,
    address: SocketAddr,
    signer: &Arc<TokenVerifier>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Reconnect> {
    let target = Target::new(&format!("ws://{address}"), "/ws/health")?;
    let (signer, time, user) = (Arc::clone(signer), Arc::clone(clock), device.parse::<UserId>()?);
    let token = Box::new(move || Ok(Token::new(&signer.issue(&user, TTL_S, time.now()))));
    Ok(Reconnect::new(target, token, Backoff::new(crate::client::seed(clock.as_ref()))))
}

#[cfg(test)]
mod tests {
    use healthmate_care::{ManualClock, Metric};

    use super::*;

    #[test]
    fn every_device_has_a_recording_that_can_be_read() {
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::new("2026-11-23T12:00:00Z".parse().expect("valid")));
        let secret = healthmate_server::config::Secret::new("x".repeat(32));
        let signer =
            Arc::new(TokenVerifier::new(&healthmate_server::config::AuthSettings::default(), &secret));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let metrics: Vec<_> = DEVICES
            .iter()
            .map(|device| device.replay(address, &signer, &clock).expect("readable").recording.metric())
            .collect();
        assert_eq!(metrics, [Metric::HeartRate, Metric::Glucose, Metric::Glucose]);
    }
}
