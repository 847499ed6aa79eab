//! While a patient is erased: erased or not, never half, and the same command goes on.

use std::path::Path;
use std::process::Stdio;

use healthmate_care::{Clock, Measurement, Metric, SystemClock};
use healthmate_protocol::{ServerMessage, Timestamp, UserId};
use healthmate_storage::{Measurements, Recording};

use crate::client::{Client, ask};
use crate::process::{Server, count, database, healthmate, holds, output_of, trail_is_whole, with_store};

const NAME: &str = "Zacharias Markerstein";
const DEVICE: &str = "markercuff of the grandmother";

/// Some transactions of an erasure.
const MEASUREMENTS: i64 = 8_000;

/// How long a server on a busy machine may take to learn what another process did.
const PATIENCE_MS: i64 = 20_000;

/// A patient with data, and a nurse who sees it.
fn add_patient(data: &Path, patient: &str) {
    output_of(healthmate(data, &["user", "add", patient, "--role", "patient", "--name", NAME]));
    output_of(healthmate(data, &["care", "add", patient, "nora"]));
    let id = || UserId::new(patient).expect("valid");
    let measurement = |n: i64| Measurement {
        metric: Metric::HeartRate,
        value: 71.0,
        taken_at: Timestamp::from_micros(n),
        client_id: None,
        device: Some(DEVICE.to_owned()),
        original: None,
    };
    let measurements = (0..MEASUREMENTS).map(measurement).collect();
    let recording = Recording { patient: id(), author: id(), measurements, idempotency: None, audit: None };
    with_store(data, async |store| store.record(recording).await.expect("stored"));
}

/// How many of the patient's measurements are left.
fn left(data: &Path, patient: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM measurement WHERE patient = (SELECT key FROM user WHERE id = '{patient}')"
    );
    count(&database(data), &sql)
}

/// Whether the patient is erased: all of what lets somebody in or opens something is gone with the name, or none of it.
fn is_erased(data: &Path, patient: &str) -> bool {
    let conn = database(data);
    // All of it as it was at one time.
    conn.execute_batch("BEGIN").expect("begun");
    let of = |what: &str| {
        count(&conn, &what.replace("PATIENT", &format!("(SELECT key FROM user WHERE id = '{patient}')")))
    };
    let traces = [
        of("SELECT count(*) FROM user WHERE key = PATIENT AND erased_at IS NULL"),
        of("SELECT count(*) FROM user WHERE key = PATIENT AND name IS NOT NULL AND active = 1"),
        of("SELECT count(*) FROM data_key WHERE user = PATIENT"),
        of("SELECT count(*) FROM device WHERE patient = PATIENT"),
        of("SELECT count(*) FROM care_relation WHERE patient = (SELECT id FROM user WHERE key = PATIENT)"),
        1 - of(
            "SELECT count(*) FROM audit WHERE action = 'erased' AND patient = (SELECT id FROM user WHERE key = PATIENT)",
        ),
    ];
    assert!(traces == [0; 6] || traces == [1; 6], "half erased: {traces:?}");
    traces == [0; 6]
}

/// Whether the nurse gets a page of history, and a subscription.
fn hears(server: &Server, nurse: &str, patient: &str) -> [bool; 2] {
    let path = format!("/v1/patients/{patient}/measurements?limit=1000");
    let (status, page) = ask(&server.address, "GET", &path, nurse, "").expect("an answer");
    let read = match status {
        200 => {
            let all = page["measurements"].as_array().expect("a list");
            assert!(all.iter().all(|one| one["device"] == DEVICE), "{page}");
            true
        }
        403 => false,
        _ => panic!("{status} {page}"),
    };
    let mut client = Client::connect(server, nurse);
    client.send(&format!(r#"{{"type":"subscribe","topic":"health:{patient}"}}"#)).expect("sent");
    let subscribed = match client.next().expect("an answer").message {
        ServerMessage::SubscriptionSuccess(_) => true,
        ServerMessage::SubscriptionDenied(_) => false,
        other => panic!("{other:?}"),
    };
    [read, subscribed]
}

/// The nurse hears what is there, or nothing of the patient.
fn what_is_told_agrees(server: &Server, nurse: &str, data: &Path, patient: &str) {
    assert_eq!(hears(server, nurse, patient), [!is_erased(data, patient); 2]);
}

/// The same after a moment: the server does not know before what another process did. (That it takes less than a second is
/// tested where nothing else runs.)
fn what_is_told_soon_agrees(server: &Server, nurse: &str, data: &Path, patient: &str) {
    let expected = [!is_erased(data, patient); 2];
    let begun = SystemClock::default().now();
    while hears(server, nurse, patient) != expected {
        let late = SystemClock::default().now().millis_since(begun);
        assert!(late < PATIENCE_MS, "it is not known after {late} ms");
    }
}

#[test]
fn an_erasure_that_is_killed_is_whole_or_none_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    output_of(healthmate(data, &["user", "add", "nora", "--role", "nurse"]));
    output_of(healthmate(data, &["user", "add", "ada", "--role", "admin"]));
    let [nurse, admin] = ["nora", "ada"].map(|user| output_of(healthmate(data, &["token", "issue", user])));
    // At once, when it is erased, among the rows, when the last one is gone: the command beside the server, or the
    // server that does it.
    for (round, stop) in [None, Some(MEASUREMENTS), Some(MEASUREMENTS - 1), Some(0)].into_iter().enumerate() {
        for by_server in [false, true] {
            let patient = format!("p{round}{}", u8::from(by_server));
            add_patient(data, &patient);
            let mut server = Server::start(data);
            what_is_told_agrees(&server, &nurse, data, &patient);
            let reached = |stop: i64| left(data, &patient) <= stop && is_erased(data, &patient);
            if by_server {
                let (address, admin, patient) = (server.address.clone(), admin.clone(), patient.clone());
                let asking = std::thread::spawn(move || {
                    let body = format!(r#"{{"confirm":"{patient}"}}"#);
                    ask(&address, "DELETE", &format!("/v1/patients/{patient}"), &admin, &body)
                });
                while stop.is_some_and(|stop| !reached(stop)) && !asking.is_finished() {
                    std::thread::yield_now();
                }
                server.kill();
                // It may have been answered before.
                let _ = asking.join().expect("no panic");
            } else {
                let mut command = healthmate(data, &["erase", &patient, "--yes"]);
                let mut erasing = command.stdout(Stdio::null()).spawn().expect("healthmate runs");
                while stop.is_some_and(|stop| !reached(stop)) && erasing.try_wait().expect("asked").is_none()
                {
                    std::thread::yield_now();
                }
                // It may have ended by itself.
                let _ = erasing.kill();
                erasing.wait().expect("dead");
                what_is_told_soon_agrees(&server, &nurse, data, &patient);
                server.kill();
            }
            assert!(stop.is_none() || is_erased(data, &patient));
            trail_is_whole(data);
            let server = Server::start(data);
            what_is_told_agrees(&server, &nurse, data, &patient);
            // Beside the server, to its end.
            output_of(healthmate(data, &["erase", &patient, "--yes"]));
            assert!(is_erased(data, &patient));
            assert_eq!(left(data, &patient), 0);
            drop(server);
        }
    }
    trail_is_whole(data);
    for text in [NAME, DEVICE] {
        assert!(!holds(data, text), "{text} is in a file");
    }
    let problem: String =
        database(data).query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("read");
    assert_eq!(problem, "ok");
}
