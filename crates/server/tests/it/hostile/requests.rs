//! Requests that two readers could understand in two ways, too large, too slow, or on strange paths.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{exchange, serves_on, start, status, until_closed};
use crate::server::TestServer;

/// What is smuggled: whoever answers it fell for it.
const SMUGGLED: &str = "GET /problems/internal HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/measurements HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

fn shapes() -> Vec<String> {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let socket = |headers: &str| format!("GET /ws/health HTTP/1.1\r\nHost: a\r\n{headers}{upgrade}\r\n");
    vec![
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        post("Content-Length: 0\r\nContent-Length: 60\r\n", ""),
        post("Content-Length: 0\r\nContent-Length: 0\r\n", ""),
        post("Content-Length: 0, 60\r\n", ""),
        post("Content-Length: +0\r\n", ""),
        post("Content-Length : 60\r\n", ""),
        post("Content-Length: 18446744073709551616\r\n", ""),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("X: a\r\n Content-Length: 60\r\n", ""),
        post("X: a\nContent-Length: 60\r\n", ""),
        post("X: a\0b\r\n", ""),
        post("X y: a\r\n", ""),
        post("Host: b\r\n", ""),
        post("Transfer-Encoding: chunked\r\n", "z\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2\r\nabc\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "2\nab\n0\n\n"),
        "GET /healthz HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /healthz HTTP/1.1\r\n\r\n".to_owned(),
        "GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(),
        "GET /healthz\r\n\r\n".to_owned(),
        socket("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        socket("Content-Length: 5\r\nContent-Length: 5\r\n"),
        socket("Host: b\r\n"),
        socket("X: a\r\n folded\r\n"),
        socket("X: a\nY: b\r\n"),
        socket("X : a\r\n"),
    ]
}

/// As the first request of a socket, which the server's own parser sees.
#[tokio::test]
async fn smuggled_requests_are_refused_and_the_socket_is_closed() {
    let server = start(|_| {}).await;
    for shape in shapes() {
        let answer = exchange(&server, format!("{shape}{SMUGGLED}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{shape:?}\n{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("connection: close"),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shape:?}\n{answer}");
    }
    let refused = server.app.metrics.encode();
    let counted = format!("healthmate_requests_refused_total{{reason=\"malformed\"}} {}\n", shapes().len());
    assert!(refused.contains(&counted), "{refused}");
    serves_on(server).await;
}

/// As the second request of a socket, which hyper reads.
#[tokio::test]
async fn smuggled_requests_are_refused_on_a_connection_that_is_in_use() {
    let server = start(|_| {}).await;
    for shape in shapes() {
        let mut stream = TcpStream::connect(server.address()).await.expect("listening");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        let mut first = Vec::new();
        while !first.ends_with(b"ok\n") && !first.ends_with(b"ok") && !first.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut first).await.expect("open"), 0, "closed");
        }
        let _ = stream.write_all(format!("{shape}{SMUGGLED}").as_bytes()).await;
        let answer = until_closed(&mut stream).await;
        // A body that breaks the rules may come to a request that was answered before.
        assert!(matches!(status(&answer), 400 | 401 | 415), "{shape:?}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shape:?}\n{answer}");
    }
    serves_on(server).await;
}

/// A request for another protocol is the last of its connection, so that what follows cannot pass as one.
#[tokio::test]
async fn nothing_follows_a_request_for_another_protocol() {
    let server = start(|_| {}).await;
    for (first, expected) in [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 0),
        ("GET /ws/health HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", 400),
    ] {
        let answer = exchange(&server, format!("{first}{SMUGGLED}").as_bytes()).await;
        assert!(expected == 0 || status(&answer) == expected, "{first:?}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{first:?}\n{answer}");
    }
    serves_on(server).await;
}

async fn get(server: &TestServer, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    exchange(server, request.as_bytes()).await
}

#[tokio::test]
async fn heads_are_taken_at_their_limits_and_refused_past_them() {
    let server = start(|settings| {
        settings.limits.url_bytes = 300;
        settings.limits.headers_per_request = 20;
        settings.limits.head_bytes = 8192;
        settings.limits.requests_per_connection = 2;
    })
    .await;
    let url = |length: usize| format!("/healthz?{}", "x".repeat(length - 9));
    for (target, headers, expected) in [
        (url(300), String::new(), 200),
        (url(301), String::new(), 414),
        (url(8000), String::new(), 414),
        (url(100_000), String::new(), 414),
        ("/healthz".to_owned(), "X: y\r\n".repeat(18), 200),
        ("/healthz".to_owned(), "X: y\r\n".repeat(19), 431),
        ("/healthz".to_owned(), format!("X: {}\r\n", "y".repeat(8000)), 200),
        ("/healthz".to_owned(), format!("X: {}\r\n", "y".repeat(8192)), 431),
        ("/healthz".to_owned(), format!("X: {}\r\n", "y".repeat(1 << 20)), 431),
    ] {
        let answer = get(&server, &target, &headers).await;
        assert_eq!(status(&answer), expected, "{} {}\n{answer}", target.len(), headers.len());
    }
    let many = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
    let answer = exchange(&server, many.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
    serves_on(server).await;
}

/// Heads and bodies that come a byte at a time, and sockets that say nothing, end at their time.
#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let server = start(|settings| {
        settings.limits.handshake_timeout_s = 1;
        settings.limits.request_timeout_s = 1;
    })
    .await;
    let head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".as_slice();
    let body = b"POST /v1/measurements HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                 Content-Length: 100000\r\n";
    let token = format!("Authorization: Bearer {}\r\n\r\n", server.token("ana"));
    let body = [body, token.as_bytes()].concat();
    let idle = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    for (begin, expected) in [(head, 0), (body.as_slice(), 408), (idle, 200), (b"".as_slice(), 0)] {
        let stream = TcpStream::connect(server.address()).await.expect("listening");
        let (mut read, mut write) = stream.into_split();
        write.write_all(begin).await.expect("written");
        let trickle = begin.len() > idle.len();
        let feed = tokio::spawn(async move {
            let mut turns = tokio::time::interval(std::time::Duration::from_millis(50));
            while trickle && write.write_all(b"x").await.is_ok() {
                turns.tick().await;
            }
            write
        });
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
        assert_eq!(status(&String::from_utf8_lossy(&answer)), expected, "{}", begin.len());
        feed.abort();
    }
    let metrics = server.app.metrics.encode();
    assert!(metrics.contains("healthmate_requests_refused_total{reason=\"slow\"} 3\n"), "{metrics}");
    serves_on(server).await;
}

/// No spelling of a path leads to a file outside the app, or past the check of another route.
#[tokio::test]
async fn no_path_leads_anywhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("app")).expect("made");
    std::fs::write(folder.path().join("app/index.html"), "the app").expect("written");
    std::fs::write(folder.path().join("secret"), "MARKER").expect("written");
    let server = start(|settings| settings.server.web_dir = Some(folder.path().join("app"))).await;
    for path in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/%252e%252e%252fsecret",
        "/..\\secret",
        "/..%5csecret",
        "/..%c0%afsecret",
        "/assets/../../secret",
        "//../secret",
        "/./../secret",
        "/%00/../secret",
        "/index.html%00.js",
        "/secret",
        "/.%2e/secret",
        "/..;/secret",
        "/file:///etc/passwd",
        "/%2fetc/passwd",
        "/C:/secret",
        "/....//secret",
    ] {
        for target in [path.to_owned(), format!("http://a{path}")] {
            let answer = get(&server, &target, "").await;
            assert_eq!(status(&answer), 404, "{target}\n{answer}");
            assert!(!answer.contains("MARKER") && !answer.contains("root:"), "{target}\n{answer}");
        }
    }
    // Without a token, whatever is spelled like a route of the API says so, or is not there.
    for path in [
        "/v1/me",
        "//v1/me",
        "/v1//me",
        "/v1/me/",
        "/./v1/me",
        "/x/../v1/me",
        "/%76%31/me",
        "/V1/ME",
        "/v1/%6de",
        "/v1/me;x=y",
        "/v1\\me",
        "/ws/connections",
        "/ws/%63onnections",
        "/ws/../v1/me",
        "/v1/patients/ana%2fmeasurements",
        "/v1/patients/%2e%2e/measurements",
        "/v1/patients/ana%00/measurements",
        "http://evil.example/v1/me",
    ] {
        let answer = get(&server, path, "Accept: text/html\r\n").await;
        let is_app = answer.ends_with("the app");
        // An encoded slash stays in the id: one patient's path, which knows only DELETE.
        let refused = match path {
            "/v1/patients/ana%2fmeasurements" => status(&answer) == 405,
            _ => matches!(status(&answer), 400 | 401 | 404),
        };
        assert!(is_app || refused, "{path}\n{answer}");
        assert!(!answer.contains("\"role\""), "{path}\n{answer}");
    }
    serves_on(server).await;
}
