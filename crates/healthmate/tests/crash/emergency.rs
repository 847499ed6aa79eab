//! While patients are opened in an emergency: the access, its record and its notifications are all there, or none.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::ask;
use crate::process::{Server, database, healthmate, output_of, trail_is_whole};

const PATIENTS: usize = 4;
const KILLS: usize = 4;

const MANY: &[(&str, &str)] =
    &[("HEALTHMATE_ACCESS__BREAK_GLASS_AT_ONCE", "100"), ("HEALTHMATE_ACCESS__BREAK_GLASS_PER_DAY", "1000")];

/// What a column holds, of all rows.
fn all(data: &Path, sql: &str) -> BTreeSet<String> {
    let conn = database(data);
    let mut statement = conn.prepare(sql).expect("valid");
    let rows = statement.query_map([], |row| row.get(0)).expect("read");
    rows.map(|row| row.expect("text")).collect()
}

/// Opens one patient after the other, until the server dies; who was answered.
fn open(address: &str, doctor: &str, answers: &AtomicUsize) -> BTreeSet<String> {
    let mut opened = BTreeSet::new();
    for patient in (0..PATIENTS).cycle() {
        let path = format!("/v1/patients/p{patient}/break-glass");
        let body = r#"{"reason":"MARKER: found unconscious at home"}"#;
        match ask(address, "POST", &path, doctor, body) {
            Some((201, access)) => drop(opened.insert(access["id"].as_str().expect("an id").to_owned())),
            // The server died, or the doctor holds as many as one may.
            _ => break,
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    opened
}

#[test]
fn an_emergency_is_opened_recorded_and_told_or_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for patient in 0..PATIENTS {
        output_of(healthmate(data, &["user", "add", &format!("p{patient}"), "--role", "patient"]));
    }
    output_of(healthmate(data, &["user", "add", "ada", "--role", "admin"]));
    let mut rng = StdRng::seed_from_u64(6);
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let doctor = format!("d{round}");
        output_of(healthmate(data, &["user", "add", &doctor, "--role", "doctor"]));
        let token = output_of(healthmate(data, &["token", "issue", &doctor]));
        let mut server = Server::start_with(data, MANY);
        let answers: &'static AtomicUsize = Box::leak(Box::default());
        let address = server.address.clone();
        let opening = std::thread::spawn(move || open(&address, &token, answers));
        let until = rng.random_range(1..40);
        while answers.load(Ordering::Relaxed) < until && !opening.is_finished() {
            std::thread::yield_now();
        }
        server.kill();
        acknowledged.extend(opening.join().expect("no panic"));
        trail_is_whole(data);
        let accesses = all(data, "SELECT id FROM break_glass");
        let recorded = all(data, "SELECT break_glass FROM audit WHERE action = 'break_glass_started'");
        assert_eq!(accesses, recorded);
        assert!(acknowledged.is_subset(&accesses), "what was answered is there");
        // The patient and the administrator, each once for each access.
        let told = |sql: &str| all(data, sql).len();
        assert_eq!(told("SELECT id FROM notification WHERE user = 'ada'"), accesses.len());
        assert_eq!(told("SELECT id FROM notification WHERE user <> 'ada'"), accesses.len());
        assert_eq!(told("SELECT topic || ':' || offset FROM event WHERE kind = 2"), 2 * accesses.len());
    }
    assert!(acknowledged.len() > KILLS * 5, "only {}", acknowledged.len());
    // All that was told and said can be read.
    let server = Server::start(data);
    let token = output_of(healthmate(data, &["token", "issue", "p0"]));
    for path in ["/v1/patients/p0/break-glass", "/v1/notifications"] {
        let (status, list) = ask(&server.address, "GET", path, &token, "").expect("an answer");
        assert_eq!(status, 200, "{list}");
        assert!(list.to_string().contains("MARKER: found unconscious"), "{list}");
    }
}
