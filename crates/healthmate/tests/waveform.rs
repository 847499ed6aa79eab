//! `healthmate waveform` and `healthmate watch --waveform`, against the real server.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A process, killed when it is dropped, and the lines that it writes.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
        command.env_clear().current_dir(data).args(arguments).arg("--data").arg(data);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_ecg_is_seen_in_the_terminal_while_the_patients_device_sends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for arguments in [
        &["user", "add", "ana", "--role", "patient"][..],
        &["user", "add", "patch", "--role", "device", "--device-of", "ana"],
    ] {
        let mut ended = Running::start(data, arguments);
        assert!(ended.process.wait().expect("it ends").success());
    }
    let mut server = Running::start(data, &["serve", "--listen", "127.0.0.1:0"]);
    let url = loop {
        if let Some((_, address)) = server.line().split_once("http://") {
            break format!("ws://{address}");
        }
    };
    let watch = ["watch", "health:ana", "--as", "ana", "--server", &url, "--json", "--count", "6"];
    let mut watcher = Running::start(data, &[&watch[..], &["--waveform"]].concat());
    let mut monitor = Running::start(data, &["waveform", "--patient", "ana", "--server", &url]);
    let strips: Vec<Value> = (0..6).map(|_| serde_json::from_str(&watcher.line()).expect("JSON")).collect();
    assert!(watcher.process.wait().expect("it ends").success());
    for (strip, next) in strips.iter().zip(&strips[1..]) {
        assert_eq!(strip["type"], "health_waveform");
        assert_eq!(strip["topic"], "health:ana");
        assert!(strip["offset"].is_null());
        assert_eq!(strip["data"]["author"], "patch", "the patient's device signs in");
        assert_eq!(strip["data"]["samples"].as_array().expect("samples").len(), 50);
        let number = |strip: &Value| strip["data"]["sequence"].as_u64().expect("numbered");
        assert!(number(next) > number(strip));
    }
    assert!(monitor.process.try_wait().expect("it can be asked").is_none(), "it goes on until it is stopped");
}
