//! While keys are rotated under load: writes and reads of what is sealed go on, whether the command or the server dies.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use healthmate_care::{By, Clock, Role, SystemClock, User};
use healthmate_protocol::{ServerMessage, UserId};
use healthmate_storage::Directory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Client, ask};
use crate::process::{Server, healthmate, output_of, trail_is_whole, with_store};

/// More than two transactions of a rotation wrap anew.
const PATIENTS: usize = 600;

const KILLS: usize = 8;

const NAME: &str = "Pat Marker";

fn populate(data: &Path) {
    output_of(healthmate(data, &["migrate"]));
    with_store(data, async |store| {
        let by = By::command_line(SystemClock::default().now());
        let user = |name: &str| User {
            id: UserId::new(name).expect("valid"),
            role: Role::Patient,
            name: NAME.to_owned(),
            device_of: None,
            active: true,
        };
        let names = (0..PATIENTS).map(|n| format!("p{n}")).chain(["ana".to_owned()]);
        for name in names {
            store.add_user(user(&name), by.clone()).await.expect("added");
        }
    });
}

/// What runs beside the rotation, and what it has been answered.
struct Load {
    answers: &'static AtomicUsize,
    stop: &'static AtomicBool,
    threads: Vec<JoinHandle<()>>,
}

/// Answers are counted by this one; the server that dies under it is no failure if `dies`.
fn load(server: &Server, token: &str, round: usize, dies: bool) -> Load {
    let answers: &'static AtomicUsize = Box::leak(Box::default());
    let stop: &'static AtomicBool = Box::leak(Box::default());
    let mut writer = Client::connect(server, token);
    let write = move || {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            // Each with a text of its own, which is sealed.
            let one = format!(
                r#"{{"metric":"heart_rate","value":70,"unit":"/min","taken_at":"2026-01-01T00:00:00Z","device":"cuff {round}/{n}"}}"#
            );
            let sent = writer.send(&format!(r#"{{"type":"health_update","data":{one}}}"#));
            match sent.and_then(|()| writer.next()) {
                Ok(answer) => {
                    assert!(matches!(answer.message, ServerMessage::Acknowledgment(_)), "{answer:?}");
                }
                Err(error) => return assert!(dies, "{error}"),
            }
            n += 1;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (address, token) = (server.address.clone(), token.to_owned());
    let read = move || {
        while !stop.load(Ordering::Relaxed) {
            let path = "/v1/patients/ana/measurements?limit=50";
            for (path, field) in [(path, "measurements"), ("/v1/patients", "patients")] {
                let Some((status, answer)) = ask(&address, "GET", path, &token, "") else {
                    return assert!(dies, "the server is gone");
                };
                // A server that dies while it answers may have sent a part.
                if dies && answer.is_null() {
                    return;
                }
                assert_eq!(status, 200, "{answer}");
                let all = answer[field].as_array().expect("a list");
                let readable = |one: &serde_json::Value| {
                    one["device"].as_str().is_some_and(|text| text.starts_with("cuff "))
                        || one["name"] == NAME
                };
                assert!(all.iter().all(readable), "{answer}");
            }
        }
    };
    Load { answers, stop, threads: vec![std::thread::spawn(write), std::thread::spawn(read)] }
}

impl Load {
    /// Waits for so many more answers, or for the end of whoever writes.
    fn answered(&self, more: usize) {
        let until = self.answers.load(Ordering::Relaxed) + more;
        while self.answers.load(Ordering::Relaxed) < until && !self.threads[0].is_finished() {
            std::thread::yield_now();
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("nothing failed"));
    }
}

/// All names of users can be read by whoever opens the database.
fn all_is_readable(data: &Path) {
    with_store(data, async |store| {
        let users = store.users().await.expect("readable");
        assert_eq!(users.len(), PATIENTS + 1);
        assert!(users.iter().all(|user| user.name == NAME));
    });
    trail_is_whole(data);
}

#[test]
fn a_rotation_that_is_killed_disturbs_nobody_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    populate(data);
    let token = output_of(healthmate(data, &["token", "issue", "ana"]));
    let mut rng = StdRng::seed_from_u64(4);
    for round in 0..KILLS {
        // In turn, the command dies while the server serves, and the server while the command works.
        let server_dies = round % 2 == 1;
        let mut server = Server::start(data);
        let load = load(&server, &token, round, server_dies);
        load.answered(5);
        let mut rotation = healthmate(data, &["keys", "rotate"]);
        let rotation = rotation.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut rotation = rotation.expect("healthmate runs");
        load.answered(rng.random_range(0..40));
        if server_dies {
            server.kill();
            let output = rotation.wait_with_output().expect("ended");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        } else {
            rotation.kill().expect("SIGKILL");
            rotation.wait().expect("dead");
            // With whatever the rotation left, and over its end.
            load.answered(5);
            output_of(healthmate(data, &["keys", "rotate"]));
            load.answered(5);
        }
        load.stop();
        drop(server);
        all_is_readable(data);
    }
    // What was begun is finished, and the old keys can go.
    output_of(healthmate(data, &["keys", "rotate"]));
    let shown = output_of(healthmate(data, &["keys", "show", "--json"]));
    let keys: Vec<serde_json::Value> = serde_json::from_str(&shown).expect("JSON");
    assert!(keys.len() > KILLS / 2, "{shown}");
    for key in keys.iter().filter(|key| key["active"] == false) {
        output_of(healthmate(data, &["keys", "retire", key["id"].as_str().expect("an id")]));
    }
    all_is_readable(data);
    let server = Server::start(data);
    let load = load(&server, &token, KILLS, false);
    load.answered(5);
    load.stop();
}
