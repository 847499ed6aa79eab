//! Bodies of requests that are no JSON, too large, or JSON that readers read differently.

use super::{exchange, serves_on, start, status};
use crate::server::TestServer;

const GOOD: &str = r#"{"metric":"heart_rate","value":72,"unit":"bpm","taken_at":"2026-01-01T00:00:00Z"}"#;

async fn post(server: &TestServer, content_type: &str, body: &[u8]) -> String {
    let head = format!(
        "POST /v1/measurements HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        server.token("ana"),
        body.len()
    );
    exchange(server, &[head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn strange_bodies_are_refused_with_their_code() {
    let server = start(|settings| settings.limits.body_bytes = 65_536).await;
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let with = |from: &str, to: &str| GOOD.replace(from, to).into_bytes();
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (GOOD.into(), 201, "results"),
        (Vec::new(), 400, "malformed_json"),
        (b"\xff\xfe".to_vec(), 400, "malformed_json"),
        (with("heart_rate", "heart\\ud800rate"), 400, "malformed_json"),
        ([b"\xef\xbb\xbf", GOOD.as_bytes()].concat(), 400, "malformed_json"),
        (deep.clone().into(), 400, "malformed_json"),
        (format!(r#"{{"batch":{deep}}}"#).into(), 400, "invalid_field"),
        (format!(r#"{{"batch":["{deep}"]}}"#).into(), 400, "batch[0]"),
        (r#"{"data":["heart_rate",72,"bpm","2026-01-01T00:00:00Z"]}"#.into(), 400, "an object"),
        (with("72", &format!("\"{}\"", "x".repeat(10_000))), 400, "invalid_field"),
        (with("{\"metric\"", "{\"value\":71,\"metric\""), 400, "invalid_field"),
        (with("72", "1e999"), 400, "malformed_json"),
        (with("72", "99999999999999999999"), 422, "implausible_value"),
        (with("72", "\"72\""), 400, "invalid_field"),
        (with("heart_rate", "heart_rate\\u0000"), 422, "unknown_metric"),
        (with("heart_rate", "'; DROP TABLE measurement; --"), 422, "unknown_metric"),
        (with("{\"metric\"", "{\"patient\":\"ben\",\"metric\""), 403, "access_denied"),
        (with("{\"metric\"", "{\"patient\":\"a\\u0000na\",\"metric\""), 400, "invalid_field"),
        (with("}", &format!("{}}}", " ".repeat(65_536))), 413, "invalid_field"),
        (format!("{GOOD}{GOOD}").into(), 400, "malformed_json"),
    ];
    for (body, expected, word) in cases {
        let answer = post(&server, "application/json", &body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        assert_eq!(status(&answer), expected, "{shown}\n{answer}");
        assert!(answer.contains(word), "{shown}\n{answer}");
        assert!(answer.len() < 2000, "{shown}: an answer repeats little of what came");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"]
    {
        assert_eq!(
            status(&post(&server, kind, GOOD.as_bytes()).await),
            415,
            "{kind}: no page sends it unasked"
        );
    }
    serves_on(server).await;
}

/// A body that says it is larger than it may be is refused before it has come.
#[tokio::test]
async fn a_body_that_announces_too_much_is_not_waited_for() {
    let server = start(|_| {}).await;
    for length in ["1048577", "9999999999999999999"] {
        let head = format!(
            "POST /v1/measurements HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            server.token("ana")
        );
        let answer = exchange(&server, head.as_bytes()).await;
        assert_eq!(status(&answer), 413, "{answer}");
    }
    serves_on(server).await;
}
