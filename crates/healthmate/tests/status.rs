//! `healthmate status` against the real server.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn healthmate(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().current_dir(data).args(arguments).arg("--data").arg(data);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    healthmate(data, arguments).output().expect("the binary runs")
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(data: &Path) -> (Server, String) {
    let mut command = healthmate(data, &["serve", "--listen", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let server = Server(process);
    let url = lines.find_map(|line| {
        let line = line.expect("text");
        line.split_once("http://").map(|(_, rest)| format!("ws://{}", rest.trim()))
    });
    (server, url.expect("the server says where it listens"))
}

#[test]
fn an_administrator_sees_the_node_and_others_whether_it_is_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for (user, role) in [("ana", "patient"), ("root", "admin")] {
        assert!(run(data, &["user", "add", user, "--role", role]).status.success());
    }
    let (server, url) = serve(data);
    let json = |arguments: &[&str]| -> Value {
        let output = run(data, &[&["status", "--json", "--server", &url], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let seen = json(&[]);
    assert_eq!((&seen["status"]["status"], &seen["status"]["users_online"]), (&"ok".into(), &0.into()));
    assert_eq!(seen["connections"]["connections"], serde_json::json!([]));
    assert_eq!(json(&["--as", "ana"])["status"], serde_json::json!({ "status": "ok" }));
    let output = run(data, &["status", "--server", &url]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with(&format!("{url}: ok, HealthMate ")), "{text}");
    assert!(text.contains("\nusers online   0\n") && text.ends_with("\nno connections\n"), "{text}");
    drop(server);
    let output = run(data, &["status", "--server", &url]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with(&format!("healthmate: cannot reach {url}: ")), "{said}");
}
