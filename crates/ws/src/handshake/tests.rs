use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Version};

use super::{Handshake, MAX_SUBPROTOCOLS, Refusal};

/// The example of RFC 6455, section 1.2.
fn example() -> Request<()> {
    Request::get("/ws/health")
        .header("Host", "server.example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap()
}

fn check(request: Request<()>) -> Result<Handshake, Refusal> {
    Handshake::check(&request.into_parts().0)
}

fn with(changes: &[(&str, &str)]) -> Request<()> {
    let mut request = example();
    for (name, value) in changes {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn the_example_of_the_rfc_gets_its_answer() {
    let handshake = check(example()).unwrap();
    let response = handshake.response(None);
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(header(response.headers(), "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(header(response.headers(), "upgrade"), Some("websocket"));
    assert_eq!(header(response.headers(), "connection"), Some("Upgrade"));
    assert_eq!(header(response.headers(), "sec-websocket-protocol"), None);
    assert_eq!(handshake.host(), "server.example.com");
    assert_eq!(handshake.origin(), None);
    assert_eq!(handshake.subprotocols().count(), 0);
    let head = handshake.response_head(None);
    assert_eq!(
        String::from_utf8(head).expect("ASCII"),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn what_real_clients_send_is_accepted() {
    for changes in [
        [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")],
        [("connection", "upgrade"), ("upgrade", "h2c, websocket")],
        [("content-length", "0"), ("origin", "https://app.example")],
        // The last character's four unused bits are not 0.
        [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZZ=="), ("accept", "*/*")],
    ] {
        assert!(check(with(&changes)).is_ok(), "{changes:?}");
    }
}

#[test]
fn each_broken_rule_is_refused_with_its_reason() {
    let cases: [(&[(&str, &str)], Refusal); 19] = [
        (&[("upgrade", "h2c")], Refusal::Upgrade),
        (&[("upgrade", "websockets")], Refusal::Upgrade),
        (&[("connection", "keep-alive")], Refusal::Connection),
        (&[("connection", "")], Refusal::Connection),
        (&[("sec-websocket-key", "")], Refusal::Key),
        (&[("sec-websocket-key", "SGVsbG8sIHdvcmxkIQ==")], Refusal::Key),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=")], Refusal::Key),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZXh4")], Refusal::Key),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25j_Q==")], Refusal::Key),
        (&[("sec-websocket-key", "dGhlé")], Refusal::NotAscii("sec-websocket-key")),
        (&[("sec-websocket-version", "8")], Refusal::Version),
        (&[("sec-websocket-version", "255")], Refusal::Version),
        (&[("sec-websocket-version", "256")], Refusal::MalformedVersion),
        (&[("sec-websocket-version", "013")], Refusal::MalformedVersion),
        (&[("sec-websocket-version", "13, 8")], Refusal::MalformedVersion),
        (&[("content-length", "1")], Refusal::Body),
        (&[("transfer-encoding", "chunked")], Refusal::Body),
        (&[("sec-websocket-protocol", "a b")], Refusal::Subprotocol),
        (&[("sec-websocket-protocol", "a,,b")], Refusal::Subprotocol),
    ];
    for (changes, refusal) in cases {
        assert_eq!(check(with(changes)), Err(refusal), "{changes:?}");
    }
}

#[test]
fn each_header_is_needed_and_may_not_be_repeated() {
    let cases = [
        ("host", Refusal::Missing("host"), Some(Refusal::Repeated("host"))),
        ("upgrade", Refusal::Upgrade, None),
        ("connection", Refusal::Connection, None),
        (
            "sec-websocket-key",
            Refusal::Missing("sec-websocket-key"),
            Some(Refusal::Repeated("sec-websocket-key")),
        ),
        (
            "sec-websocket-version",
            Refusal::Missing("sec-websocket-version"),
            Some(Refusal::Repeated("sec-websocket-version")),
        ),
    ];
    for (name, missing, repeated) in cases {
        let mut without = example();
        without.headers_mut().remove(name);
        assert_eq!(check(without), Err(missing), "{name}");
        let mut twice = example();
        let value = twice.headers()[name].clone();
        twice.headers_mut().append(name.parse::<HeaderName>().unwrap(), value);
        assert_eq!(check(twice).err(), repeated, "{name}");
    }
    let mut twice = with(&[("origin", "https://a.example")]);
    twice.headers_mut().append("origin", HeaderValue::from_static("https://b.example"));
    assert_eq!(check(twice), Err(Refusal::Repeated("origin")));
}

#[test]
fn an_ordinary_get_is_told_to_upgrade() {
    for request in [
        Request::get("/ws/health").header("Host", "a").body(()).unwrap(),
        Request::get("/").header("Host", "a").header("Upgrade", "h2c").body(()).unwrap(),
    ] {
        let refusal = check(request).unwrap_err();
        assert_eq!(refusal, Refusal::NotWebSocket);
        assert_eq!(refusal.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(header(&refusal.headers(), "upgrade"), Some("websocket"));
        assert_eq!(header(&refusal.headers(), "connection"), Some("Upgrade"));
    }
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let refusal = check(with(&[("sec-websocket-version", "8")])).unwrap_err();
    assert_eq!(refusal.status().as_u16(), 426);
    assert_eq!(header(&refusal.headers(), "sec-websocket-version"), Some("13"));
}

#[test]
fn other_methods_are_told_which_one_is_allowed() {
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT"] {
        let mut request = example();
        *request.method_mut() = method.parse().unwrap();
        let refusal = check(request).unwrap_err();
        assert_eq!(refusal, Refusal::NotGet, "{method}");
        assert_eq!(refusal.status().as_u16(), 405);
        assert_eq!(header(&refusal.headers(), "allow"), Some("GET"));
    }
}

#[test]
fn only_http_1_1_can_upgrade() {
    for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let mut request = example();
        *request.version_mut() = version;
        let refusal = check(request).unwrap_err();
        assert_eq!(refusal, Refusal::NotHttp11, "{version:?}");
        assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        assert!(refusal.headers().is_empty());
    }
}

#[test]
fn a_subprotocol_is_answered_only_if_it_was_offered() {
    let answer = |selected| -> Response<()> {
        let mut request = with(&[("sec-websocket-protocol", "healthmate.v1,other")]);
        request.headers_mut().append("sec-websocket-protocol", HeaderValue::from_static("bearer.abc-_.x"));
        let handshake = check(request).unwrap();
        assert_eq!(
            handshake.subprotocols().collect::<Vec<_>>(),
            ["healthmate.v1", "other", "bearer.abc-_.x"]
        );
        handshake.response(selected)
    };
    let protocol =
        |response: &Response<()>| header(response.headers(), "sec-websocket-protocol").map(str::to_owned);
    assert_eq!(protocol(&answer(Some("healthmate.v1"))).as_deref(), Some("healthmate.v1"));
    assert_eq!(protocol(&answer(Some("healthmate.v2"))), None);
    assert_eq!(protocol(&answer(None)), None);
}

#[test]
fn subprotocols_are_different_and_few() {
    let offer = |count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("p{i}")).collect();
        check(with(&[("sec-websocket-protocol", &names.join(", "))]))
    };
    assert_eq!(offer(MAX_SUBPROTOCOLS).unwrap().subprotocols().count(), MAX_SUBPROTOCOLS);
    assert_eq!(offer(MAX_SUBPROTOCOLS + 1), Err(Refusal::TooManySubprotocols));
    assert_eq!(check(with(&[("sec-websocket-protocol", "a, b, a")])), Err(Refusal::Subprotocol));
}

#[test]
fn a_target_in_absolute_form_overrules_the_host_header() {
    let mut request = with(&[("host", "front.example")]);
    *request.uri_mut() = "http://real.example:8080/ws/health".parse().unwrap();
    assert_eq!(check(request).unwrap().host(), "real.example:8080");
}

#[test]
fn debug_shows_no_subprotocol_and_no_key() {
    let request = with(&[("sec-websocket-protocol", "bearer.secret"), ("origin", "https://a.example")]);
    let shown = format!("{:?}", check(request).unwrap());
    assert_eq!(
        shown,
        r#"Handshake { host: "server.example.com", origin: Some("https://a.example"), subprotocols: 1, .. }"#
    );
}
