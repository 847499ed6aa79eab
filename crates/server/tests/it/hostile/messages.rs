//! Commands that are no JSON, too much JSON, or JSON that readers read differently.

use healthmate_protocol::{ErrorCode, ServerMessage};

use super::{serves_on, start};

fn update(fields: &str) -> String {
    format!(r#"{{"type":"health_update","data":{{{fields}}}}}"#)
}

const GOOD: &str = r#""metric":"heart_rate","value":72,"unit":"bpm","taken_at":"2026-01-01T00:00:00Z""#;

#[tokio::test]
async fn strange_json_is_refused_with_its_code() {
    use ErrorCode as E;
    let server = start(|_| {}).await;
    let mut ana = server.connect("ana").await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let value = |value: &str| update(&GOOD.replace("72", value));
    let cases = [
        ("{".to_owned(), E::MalformedJson),
        ("\0".to_owned(), E::MalformedJson),
        ("\u{feff}{\"type\":\"ping\"}".to_owned(), E::MalformedJson),
        (r#"{"type":"ping"} {"type":"ping"}"#.to_owned(), E::MalformedJson),
        (r#"{"type":"ping",}"#.to_owned(), E::MalformedJson),
        (r"{'type':'ping'}".to_owned(), E::MalformedJson),
        (r#"{"type":"pi\ud800ng"}"#.to_owned(), E::MalformedJson),
        (r#"{"type":"PING"}"#.to_owned(), E::UnknownType),
        (r#"{"type":"ping\u0000"}"#.to_owned(), E::UnknownType),
        (r#"{"type":"ping ","type":"ping"}"#.to_owned(), E::InvalidField),
        (r#"{"type":"subscribe","topic":"health:ana","topic":"health:ben"}"#.to_owned(), E::InvalidField),
        (update(&format!(r#"{GOOD},"value":73"#)), E::InvalidField),
        (deep("[", "]"), E::MalformedJson),
        (deep(r#"{"a":"#, "}"), E::MalformedJson),
        (format!(r#"{{"type":"health_update","data":{}}}"#, deep("[", "]")), E::InvalidField),
        (
            update(GOOD).replace(&format!("{{{GOOD}}}"), r#"["heart_rate",72,"bpm","2026-01-01T00:00:00Z"]"#),
            E::InvalidField,
        ),
        (value(&format!("\"{}\"", "x".repeat(10_000))), E::InvalidField),
        (value("1e999"), E::MalformedJson),
        (value("-1e999"), E::MalformedJson),
        (value("99999999999999999999"), E::ImplausibleValue),
        (value("-0"), E::ImplausibleValue),
        (value("NaN"), E::MalformedJson),
        (value("\"72\""), E::InvalidField),
        (value("072"), E::MalformedJson),
        (value("null"), E::InvalidField),
        (update(&GOOD.replace("2026-01-01", "2099-12-31")), E::TimeInFuture),
        (update(&GOOD.replace("2026-01-01", "9999-12-31")), E::InvalidField),
        (update(&GOOD.replace("2026-01-01", "2026-02-30")), E::InvalidField),
        (update(&GOOD.replace("2026-01-01", "-292277-01-01")), E::InvalidField),
        (update(&format!(r#"{GOOD},"client_id":"a\u0000b""#)), E::InvalidField),
        (update(&format!(r#"{GOOD},"client_id":"{}""#, "x".repeat(129))), E::InvalidField),
        (r#"{"type":"get_health_data","limit":18446744073709551616}"#.to_owned(), E::InvalidField),
        (r#"{"type":"get_health_data","limit":-1}"#.to_owned(), E::InvalidField),
        (r#"{"type":"get_health_data","cursor":"99999999999999999999.1"}"#.to_owned(), E::InvalidField),
        (r#"{"type":"get_health_data","cursor":"' OR 1=1 --"}"#.to_owned(), E::InvalidField),
        (
            r#"{"type":"acknowledge","topic":"health:ana","offset":18446744073709551615}"#.to_owned(),
            E::NotSubscribed,
        ),
    ];
    for (text, code) in cases {
        ana.send(&text).await;
        let shown = &text[..text.len().min(120)];
        let ServerMessage::Error(error) = ana.next().await else { panic!("taken: {shown}") };
        assert_eq!(error.code, code, "{shown}: {}", error.message);
        assert!(error.message.len() < 500, "{shown}: an answer repeats little of what came");
    }
    ana.send(r#"{"type":"ping"}"#).await;
    assert_eq!(ana.next().await.name(), "pong");
    drop(ana);
    serves_on(server).await;
}
