//! The real server at level `trace`, with markers in everything that is sent to it: none comes out of its log or its
//! metrics.
#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, connect};

/// A process that is killed when the test ends, also when it fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the command line says of this folder.
fn tool(data: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    let output = command.env_clear().args(arguments).arg("--data").arg(data.join("healthmate-data")).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Sets a password, which is read from stdin.
fn set_password(data: &Path, user: &str, password: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().args(["user", "password", user]).arg("--data").arg(data.join("healthmate-data"));
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
    writeln!(child.stdin.take().expect("piped"), "{password}").expect("written");
    assert!(child.wait().expect("it ends").success());
}

/// Sends bytes, and returns what comes until the end.
fn exchange(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("listening");
    stream.write_all(bytes.as_bytes()).expect("written");
    let mut answer = Vec::new();
    // A reset says that it is closed, too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: MARKER\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    );
    exchange(address, &format!("{head}{body}"))
}

const VALUE: &str = "171.4242";

fn plant_by_request(address: &str, token: &str) {
    let one = format!(
        r#"{{"metric":"heart_rate","value":{VALUE},"unit":"/min","taken_at":"2026-01-01T00:00:00Z","client_id":"MARKER-1","device":"MARKER"}}"#
    );
    let authorized = format!("Authorization: Bearer {token}\r\nIdempotency-Key: MARKER\r\n");
    assert!(request(address, "POST", "/v1/measurements", &authorized, &one).contains(" 201 "));
    for headers in [authorized.as_str(), "Authorization: Bearer MARKER.MARKER.MARKER\r\nCookie: MARKER\r\n"] {
        for path in
            ["/v1/patients/MARKER/measurements?cursor=MARKER", "/MARKER?token=MARKER", "/ws/health?MARKER"]
        {
            request(address, "GET", path, headers, "");
        }
        request(address, "POST", "/v1/measurements", headers, &one.replace("heart_rate", "MARKER"));
        request(address, "POST", "/v1/auth/login", headers, r#"{"user":"MARKER","password":"MARKER"}"#);
    }
    request(address, "MARKER", "/MARKER", "X-MARKER : MARKER\r\n", "MARKER");
    exchange(address, "MARKER\r\n\r\n");
}

/// The status and the JSON of an answer.
fn ask(address: &str, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let answer = request(address, method, path, &authorization, &body.to_string());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

const PASSWORD: &str = "MARKER horse battery";

/// Signs in and is refused, exchanges refresh tokens and replays one; returns what proves each token.
fn plant_sign_ins(address: &str) -> Vec<String> {
    let login = |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password, "label": "MARKER" });
        ask(address, "POST", "/v1/auth/login", "", &body)
    };
    for (user, password) in [("doctor-0815", "MARKER wrong"), ("MARKER", PASSWORD)] {
        assert_eq!(login(user, password).0, 401);
    }
    let (status, signed_in) = login("doctor-0815", PASSWORD);
    assert_eq!(status, 200, "{signed_in}");
    let refresh =
        |token: &str| ask(address, "POST", "/v1/auth/refresh", "", &json!({ "refresh_token": token }));
    let mut tokens = vec![text(&signed_in, "refresh_token")];
    for _ in 0..2 {
        tokens.push(text(&refresh(tokens.last().expect("one")).1, "refresh_token"));
    }
    for refused in [tokens[0].as_str(), "hmr_MARKER"] {
        assert_eq!(refresh(refused).0, 401);
    }
    tokens.push(text(&signed_in, "access_token"));
    tokens
}

/// An API token that is issued, used and spelled wrong.
fn plant_api_token(address: &str, token: &str) -> String {
    let body = json!({ "name": "MARKER", "scopes": ["read_measurements"] });
    let (status, issued) = ask(address, "POST", "/v1/users/person-0815/tokens", token, &body);
    assert_eq!(status, 201, "{issued}");
    let api = text(&issued, "token");
    assert_eq!(ask(address, "GET", "/v1/me", &api, &Value::Null).0, 200);
    assert_eq!(
        ask(address, "GET", "/v1/me", &format!("{}MARKER", &api[..api.len() - 6]), &Value::Null).0,
        401
    );
    api
}

/// A patient is opened for a reason, which the notifications repeat, by request and by socket.
fn plant_emergency(address: &str, doctor: &str, patient: &str) {
    let (path, body) =
        ("/v1/patients/person-0815/break-glass", json!({ "reason": "MARKER: found unconscious" }));
    assert_eq!(ask(address, "POST", path, patient, &body).0, 403);
    assert_eq!(ask(address, "POST", path, doctor, &json!({ "reason": "MARKER" })).0, 400);
    let (mut socket, _) = connect(format!("ws://{address}/ws/notifications")).expect("a websocket");
    for message in [
        json!({ "type": "authenticate", "token": patient }),
        json!({ "type": "subscribe", "topic": "notifications" }),
    ] {
        socket.send(Message::text(message.to_string())).expect("written");
    }
    while !socket.read().expect("an answer").to_string().contains("subscription_success") {}
    let (status, opened) = ask(address, "POST", path, doctor, &body);
    assert_eq!(status, 201, "{opened}");
    while !socket.read().expect("a notification").to_string().contains("MARKER: found") {}
    for path in [path, "/v1/notifications"] {
        let (_, told) = ask(address, "GET", path, patient, &Value::Null);
        assert!(told.to_string().contains("MARKER: found"), "{told}");
    }
}

fn plant_by_socket(address: &str, token: &str) {
    let (mut socket, _) = connect(format!("ws://{address}/ws/combined?MARKER")).expect("a websocket");
    let one = format!(
        r#"{{"metric":"heart_rate","value":{VALUE},"unit":"/min","taken_at":"2026-01-01T00:00:00Z","client_id":"MARKER-2","device":"MARKER"}}"#
    );
    let messages = [
        format!(r#"{{"type":"authenticate","token":"{token}"}}"#),
        format!(r#"{{"type":"health_update","correlation_id":"MARKER","data":{one}}}"#),
        format!(r#"{{"type":"health_update","data":{}}}"#, one.replace("heart_rate", "MARKER")),
        r#"{"type":"subscribe","topic":"health:MARKER"}"#.to_owned(),
        r#"{"type":"subscribe","topic":"MARKER"}"#.to_owned(),
        r#"{"type":"get_health_data","patient":"MARKER","cursor":"MARKER"}"#.to_owned(),
        r#"{"type":"MARKER"}"#.to_owned(),
        "MARKER".to_owned(),
        r#"{"type":"get_health_data"}"#.to_owned(),
    ];
    for message in messages {
        socket.send(Message::text(message)).expect("written");
    }
    while !socket.read().expect("an answer").to_string().contains("health_data_response") {}
    let (mut refused, _) = connect(format!("ws://{address}/ws/health")).expect("a websocket");
    let wrong = r#"{"type":"authenticate","token":"MARKER.MARKER.MARKER"}"#;
    refused.send(Message::text(wrong)).expect("written");
    while refused.read().is_ok() {}
}

#[test]
fn nothing_that_is_sent_comes_out_of_the_log_or_the_metrics() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = std::fs::File::create(folder.path().join("log")).expect("made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().env("HEALTHMATE_LOG__LEVEL", "trace").current_dir(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(log);
    let mut server = Server(command.spawn().expect("it starts"));
    let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
    let address = address.expect("it says where it listens");
    tool(folder.path(), &["user", "add", "person-0815", "--role", "patient", "--name", "MARKER Lovelace"]);
    let token = tool(folder.path(), &["token", "issue", "person-0815"]);
    plant_by_request(&address, &token);
    plant_by_socket(&address, &token);
    tool(folder.path(), &["user", "add", "doctor-0815", "--role", "doctor", "--name", "MARKER Lovelace"]);
    set_password(folder.path(), "doctor-0815", PASSWORD);
    let doctor = tool(folder.path(), &["token", "issue", "doctor-0815"]);
    let mut tokens = plant_sign_ins(&address);
    tokens.push(plant_api_token(&address, &token));
    plant_emergency(&address, &doctor, &token);
    tokens.extend([token, doctor]);
    let metrics = request(&address, "GET", "/metrics", "", "");
    assert!(metrics.contains("healthmate_measurements_recorded_total 2"), "both were stored: {metrics}");
    let pid = Pid::from_raw(server.0.id().cast_signed()).expect("it runs");
    kill_process(pid, Signal::INT).expect("it runs");
    server.0.wait().expect("it ends");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("text");
    assert!(log.contains("connection changed state"), "the log is at its most talkative");
    assert!(log.contains("a patient was opened in an emergency"), "emergencies are logged");
    // What proves a token: the third part of a JWT, and of what begins with `hm`.
    let proof = |token: &String| token.splitn(3, ['.', '_']).last().expect("three parts").to_owned();
    let proofs = tokens.iter().map(proof);
    for secret in ["MARKER", VALUE, "Lovelace"].map(str::to_owned).into_iter().chain(proofs) {
        let secret = secret.as_str();
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
    }
    assert!(!metrics.contains("-0815"), "a user is in the metrics");
}
