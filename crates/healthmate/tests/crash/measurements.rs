//! Under load, twenty times: every acknowledged measurement is there after the restart, once; offsets have no hole; a
//! watcher that resumes has seen them all; the database passes its integrity check.

use std::collections::BTreeMap;
use std::path::Path;

use healthmate_protocol::client::{ClientMessage, Command as Ask, GetHealthData, SubscribeSince};
use healthmate_protocol::server::RecordedMeasurement;
use healthmate_protocol::{Envelope, Epoch, Offset, ServerMessage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::Client;
use crate::process::{Server, healthmate, output_of, with_store};

const KILLS: usize = 20;

/// How many batches are on their way at once, so that a kill finds some received, some stored, some answered.
const IN_FLIGHT: usize = 8;

/// What the device knows: what it sent, and what it was told is stored.
#[derive(Default)]
struct Device {
    next: u32,
    unacknowledged: Vec<u32>,
    acknowledged: BTreeMap<u32, Offset>,
}

impl Device {
    fn batch(ids: &[u32]) -> String {
        let measurements: Vec<_> = ids
            .iter()
            .map(|id| {
                let value = 40 + id % 200;
                format!(
                    r#"{{"metric":"heart_rate","value":{value},"unit":"/min","taken_at":"2026-01-01T00:00:00Z","client_id":"{id}"}}"#
                )
            })
            .collect();
        format!(r#"{{"type":"health_update","batch":[{}]}}"#, measurements.join(","))
    }

    /// Sends what was never acknowledged again, then more, until the server dies after `answers` answers.
    fn run(&mut self, server: &mut Server, token: &str, answers: usize, rng: &mut StdRng) {
        let mut client = Client::connect(server, token);
        let mut waiting = 0;
        if !self.unacknowledged.is_empty() {
            let again = std::mem::take(&mut self.unacknowledged);
            for ids in again.chunks(100) {
                client.send(&Self::batch(ids)).expect("the server is up");
                waiting += 1;
            }
            self.unacknowledged = again;
        }
        for answer in 0..answers {
            while waiting < IN_FLIGHT {
                let ids: Vec<u32> = (self.next..self.next + rng.random_range(1..60)).collect();
                self.next += ids.len() as u32;
                self.unacknowledged.extend(&ids);
                client.send(&Self::batch(&ids)).expect("the server is up");
                waiting += 1;
            }
            if answer + 1 == answers {
                break;
            }
            let reply = client.next().expect("the server is up");
            waiting -= 1;
            self.take(reply);
        }
        server.kill();
        // What the dead server had already sent counts as acknowledged too.
        while let Ok(reply) = client.next() {
            self.take(reply);
        }
    }

    fn take(&mut self, reply: Envelope) {
        let ServerMessage::Acknowledgment(stored) = reply.message else { panic!("{reply:?}") };
        for receipt in stored.results {
            let id: u32 = receipt.client_id.expect("named").as_str().parse().expect("a number");
            let before = self.acknowledged.insert(id, receipt.offset);
            assert!(before.is_none_or(|before| before == receipt.offset), "{id} was given two places");
            self.unacknowledged.retain(|waiting| *waiting != id);
        }
    }
}

/// Watches until the server dies; remembers where it stopped.
fn watch(server: &Server, token: &str, since: &SubscribeSince) -> std::thread::JoinHandle<Vec<u64>> {
    let mut client = Client::connect(server, token);
    let ask = format!(
        r#"{{"type":"subscribe","topic":"health:ana","since":{}}}"#,
        serde_json::to_string(since).expect("serializes")
    );
    client.send(&ask).expect("the server is up");
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Ok(envelope) = client.next() {
            seen.extend(envelope.offset.map(|offset| offset.0));
        }
        seen
    })
}

fn history(server: &Server, token: &str) -> Vec<RecordedMeasurement> {
    let mut client = Client::connect(server, token);
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let command =
            Ask::GetHealthData(GetHealthData { limit: Some(1000), cursor, ..GetHealthData::default() });
        client.send(&ClientMessage { correlation_id: None, command }.to_text()).expect("sent");
        let ServerMessage::HealthDataResponse(page) = client.next().expect("a page").message else {
            panic!("no page")
        };
        all.extend(page.measurements);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

fn epoch(data: &Path) -> Epoch {
    with_store(data, async |store| {
        assert_eq!(store.integrity_check().await.expect("readable"), Vec::<String>::new());
        healthmate_storage::EventLog::epoch(&*store)
    })
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    output_of(healthmate(data, &["user", "add", "ana", "--role", "patient"]));
    output_of(healthmate(data, &["user", "add", "watch", "--role", "device", "--device-of", "ana"]));
    let token = |user| output_of(healthmate(data, &["token", "issue", user]));
    let (device_token, patient_token) = (token("watch"), token("ana"));

    let mut rng = StdRng::seed_from_u64(20);
    let mut device = Device::default();
    let mut since = SubscribeSince { epoch: epoch(data), offset: Offset::START };
    let mut seen = Vec::new();
    for _ in 0..KILLS {
        let mut server = Server::start(data);
        let watching = watch(&server, &patient_token, &since);
        device.run(&mut server, &device_token, rng.random_range(1..60), &mut rng);
        seen.extend(watching.join().expect("watched"));
        since.offset = Offset(seen.last().copied().unwrap_or(0));
        assert_eq!(epoch(data), since.epoch, "a restart keeps the epoch");
    }

    let server = Server::start(data);
    let stored = history(&server, &patient_token);
    let mut offsets: Vec<u64> = stored.iter().map(|measurement| measurement.offset.0).collect();
    offsets.sort_unstable();
    let all: Vec<u64> = (1..=stored.len() as u64).collect();
    assert_eq!(offsets, all, "offsets have no hole and none is twice");
    let by_id: BTreeMap<u32, Offset> = stored
        .iter()
        .map(|measurement| {
            let id = measurement.data.client_id.as_ref().expect("named").as_str();
            (id.parse().expect("a number"), measurement.offset)
        })
        .collect();
    assert_eq!(by_id.len(), stored.len(), "none is stored twice");
    for (id, offset) in &device.acknowledged {
        assert_eq!(by_id.get(id), Some(offset), "{id} was acknowledged");
    }
    assert!(device.acknowledged.len() > KILLS * 20, "only {} acknowledged", device.acknowledged.len());

    // The watcher comes back one last time for what it has not seen.
    let mut client = Client::connect(&server, &patient_token);
    let since = serde_json::to_string(&since).expect("serializes");
    client.send(&format!(r#"{{"type":"subscribe","topic":"health:ana","since":{since}}}"#)).expect("sent");
    while seen.len() < all.len() {
        seen.extend(client.next().expect("open").offset.map(|offset| offset.0));
    }
    assert_eq!(seen, all, "the watcher has seen every event once, in order");
}
