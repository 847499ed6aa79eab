//! The export of traces and logs, in a build that has it and in one that has not.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::path::Path;
use std::process::Command;

/// A server that is to export to this endpoint.
fn serve(data: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().current_dir(data).args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("HEALTHMATE_TELEMETRY__OTLP_ENDPOINT", endpoint);
    command
}

/// What it says when it does not start.
fn refused(endpoint: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = serve(folder.path(), endpoint).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("text")
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_it_says_how_to_get_one_with_it() {
    insta::assert_snapshot!(refused("http://127.0.0.1:4318"), @"healthmate: telemetry.otlp_endpoint (environment variable HEALTHMATE_TELEMETRY__OTLP_ENDPOINT): this build exports no telemetry: build one with `cargo build --release -p healthmate --features otel`");
}

#[cfg(feature = "otel")]
mod with_it {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Stdio};

    use rustix::process::{Pid, Signal, kill_process};
    use tokio_tungstenite::tungstenite::{Message, connect};

    use super::*;

    #[test]
    fn an_endpoint_must_be_a_plain_url() {
        for wrong in ["127.0.0.1:4318", "https://collector:4318", "http://collector/v1/traces", "http://", ""]
        {
            let told = refused(wrong);
            assert!(
                told.contains("telemetry.otlp_endpoint") && told.contains("must be http://host"),
                "{told}"
            );
        }
    }

    /// A process that is killed when the test ends, also when it fails.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            // It may be dead already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Takes a request, answers it, and returns its path and body; `None` if there is none.
    fn take(stream: TcpStream) -> Option<(String, Vec<u8>)> {
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.to_lowercase());
        }
        let path = head.first()?.split(' ').nth(1).expect("a path").to_owned();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").trim().parse().expect("a number")];
        reader.read_exact(&mut body).expect("the body");
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("written");
        Some((path, body))
    }

    /// What the command line says of this folder.
    fn tool(data: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
        let output = command
            .env_clear()
            .args(arguments)
            .arg("--data")
            .arg(data.join("healthmate-data"))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Connects, shows the token and takes the answer.
    fn authenticate(address: &str, token: &str) {
        let (mut socket, _) = connect(format!("ws://{address}/ws/health")).expect("a websocket");
        let message = format!(r#"{{"type":"authenticate","token":"{token}"}}"#);
        socket.send(Message::text(message)).expect("written");
        while !socket.read().expect("an answer").to_text().expect("text").contains("authentication_") {}
    }

    #[test]
    fn what_waits_is_sent_when_the_server_stops() {
        let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", collector.local_addr().expect("bound"));
        let folder = tempfile::tempdir().expect("a folder");
        let child = serve(folder.path(), &endpoint).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = Server(child.expect("it starts"));
        let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
        let address = address.expect("it says where it listens");
        let mut client = TcpStream::connect(&address).expect("listening");
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            .expect("written");
        client.read_to_end(&mut Vec::new()).expect("answered");
        tool(folder.path(), &["user", "add", "nora", "--role", "nurse"]);
        let token = tool(folder.path(), &["token", "issue", "nora"]);
        authenticate(&address, "MARKER");
        // A user whom nobody has asked for yet: the command waits for the store.
        authenticate(&address, token.trim());
        let pid = Pid::from_raw(server.0.id().cast_signed()).expect("it runs");
        kill_process(pid, Signal::INT).expect("it runs");
        let has = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        let (mut request, mut command, mut record) = (false, false, false);
        let knock = collector.local_addr().expect("bound");
        let ended = std::thread::spawn(move || {
            let ended = server.0.wait().expect("it ends");
            // Whoever still listens for requests learns that no more will come.
            drop(TcpStream::connect(knock));
            ended
        });
        for stream in collector.incoming() {
            let Some((path, body)) = take(stream.expect("a connection")) else { break };
            request |= path == "/v1/traces" && has(&body, "GET /healthz");
            command |= path == "/v1/traces" && has(&body, "authenticate");
            record |= path == "/v1/logs" && has(&body, "stopped");
            assert!(!has(&body, "MARKER") && !has(&body, token.trim()), "a token was exported");
        }
        assert!(request && command && record, "{request} {command} {record}");
        assert!(ended.join().expect("waited").success());
    }
}
