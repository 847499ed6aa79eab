//! A process that is killed while it records: what it acknowledged is there, once.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use healthmate_care::{By, Clock, Measurement, Metric, Role, SystemClock, User};
use healthmate_protocol::{ClientId, MAX_PAGE, Offset, Topic, UserId};
use healthmate_storage::{Directory, EventLog, MeasurementQuery, Measurements, Recording};
use healthmate_storage_sqlite::{Options, SqliteStore};

const PATIENTS: [&str; 3] = ["p", "q", "r"];

fn open(dir: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(dir, &Options::default(), Arc::new(SystemClock::default())).expect("opened")
}

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

/// Records for ever, three patients at once, and prints `patient offset name` for each acknowledged measurement.
#[tokio::test]
#[ignore = "the process that the crash test kills"]
async fn recorder() {
    let folder = std::env::var_os("HEALTHMATE_TEST_FOLDER").expect("run by its test");
    let run = std::env::var("HEALTHMATE_TEST_RUN").expect("run by its test");
    let store = open(Path::new(&folder));
    let mut senders = tokio::task::JoinSet::new();
    for patient in PATIENTS {
        let (store, run) = (Arc::clone(&store), run.clone());
        senders.spawn(async move {
            for n in 0.. {
                let measurements = (0..=n % 7).map(|m| measurement(&format!("{run}-{n}-{m}"))).collect();
                let (patient, author) = (id(patient), id(patient));
                let recording = Recording {
                    patient: patient.clone(),
                    author,
                    measurements,
                    idempotency: None,
                    audit: None,
                };
                for receipt in store.record(recording).await.expect("stored") {
                    println!("ack {patient} {} {}", receipt.offset, receipt.client_id.expect("named"));
                }
            }
        });
    }
    senders.join_all().await;
}

fn measurement(name: &str) -> Measurement {
    Measurement {
        metric: Metric::HeartRate,
        value: 60.0,
        taken_at: SystemClock::default().now(),
        client_id: Some(ClientId::new(name).expect("valid")),
        device: None,
        original: None,
    }
}

/// Lets the recorder run for `acknowledgements`, kills it, and gives back all that it said.
fn killed_after(dir: &Path, run: usize, acknowledgements: usize) -> Vec<String> {
    let mut recorder = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "recorder", "--nocapture"])
        .env("HEALTHMATE_TEST_FOLDER", dir)
        .env("HEALTHMATE_TEST_RUN", run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut said = Vec::new();
    let lines = BufReader::new(recorder.stdout.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        said.extend(line.strip_prefix("ack ").filter(|ack| ack.split(' ').count() == 3).map(str::to_owned));
        if said.len() == acknowledgements {
            recorder.kill().expect("killed with SIGKILL");
        }
    }
    assert!(!recorder.wait().expect("ended").success(), "it was killed");
    assert!(said.len() >= acknowledgements, "it stopped before it was killed");
    said
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for patient in PATIENTS {
        let user =
            User { id: id(patient), role: Role::Patient, name: "P".into(), device_of: None, active: true };
        store.add_user(user, By::command_line(SystemClock::default().now())).await.expect("added");
    }
    drop(store);
    let mut acknowledged = BTreeSet::new();
    // A linear congruential generator: the same moments in every run.
    let mut seed = 20_261_123_u64;
    for run in 0..8 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = 1 + usize::try_from(seed >> 33).expect("64 bits") % 150;
        acknowledged.extend(killed_after(folder.path(), run, after));
        let store = open(folder.path());
        assert_eq!(store.integrity_check().await, Ok(Vec::new()), "after kill {run}");
        let mut stored = BTreeSet::new();
        for patient in PATIENTS {
            stored.extend(history(&store, patient).await);
        }
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    assert!(acknowledged.len() >= 8);
}

/// Everything stored of a patient, as the recorder says it; each offset once, none missing, and logged.
async fn history(store: &SqliteStore, patient: &str) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = MeasurementQuery {
            patient: id(patient),
            metric: None,
            from: None,
            to: None,
            limit: MAX_PAGE,
            after,
        };
        let page = store.measurements(query).await.expect("read");
        all.extend(page.measurements.into_iter().map(|m| (m.offset.0, m.data.client_id.expect("named"))));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    all.sort();
    let names: BTreeSet<_> = all.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), all.len(), "stored twice");
    let offsets: Vec<_> = all.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (1..=all.len() as u64).collect::<Vec<_>>(), "offsets have holes");
    let logged = store.read_after(&Topic::health(id(patient)), Offset::START, u32::MAX).await.expect("read");
    assert_eq!(logged.len(), all.len());
    all.into_iter().map(|(offset, name)| format!("{patient} {offset} {name}")).collect()
}
