use super::*;

fn refusal(text: &str) -> (ErrorCode, Option<String>, String) {
    let error = ClientMessage::parse(text).expect_err(text);
    (error.code, error.field, error.message)
}

#[test]
fn aliases_of_the_original_vocabulary_are_understood() {
    let parse = |text| ClientMessage::parse(text).expect("valid").command;
    assert!(matches!(parse(r#"{"type":"authentication","token":"t"}"#), Command::Authenticate(_)));
    assert_eq!(
        parse(r#"{"type":"subscribe","subscription":"health_updates"}"#),
        parse(r#"{"type":"subscribe","topic":"health_updates"}"#)
    );
    assert_eq!(
        parse(r#"{"type":"get_health_data","data_type":"glucose"}"#),
        parse(r#"{"type":"get_health_data","metric":"glucose"}"#)
    );
}

#[test]
fn unknown_fields_are_tolerated() {
    let message = ClientMessage::parse(r#"{"type":"ping","correlation_id":"7","colour":"blue"}"#).expect("valid");
    assert_eq!(message.correlation_id, Some(CorrelationId::new("7").expect("valid")));
}

#[test]
fn every_refusal_names_code_field_and_problem() {
    assert_eq!(refusal("{").0, ErrorCode::MalformedJson);
    assert_eq!(refusal("[]").0, ErrorCode::MalformedJson);
    assert_eq!(refusal("7").0, ErrorCode::MalformedJson);
    assert_eq!(refusal("").0, ErrorCode::MalformedJson);
    assert_eq!(refusal("{}"), (ErrorCode::InvalidField, Some("type".into()), "missing field `type`".into()));
    assert_eq!(refusal(r#"{"type":"boom"}"#).0, ErrorCode::UnknownType);
    assert_eq!(
        refusal(r#"{"type":"authenticate"}"#),
        (ErrorCode::InvalidField, Some("token".into()), "missing field `token`".into())
    );
    assert_eq!(
        refusal(r#"{"type":"health_update","batch":[{"metric":"glucose","value":"x","unit":"mg/dL","taken_at":"2026-01-01T00:00:00Z"}]}"#).1,
        Some("batch[0].value".into())
    );
    assert_eq!(
        refusal(r#"{"type":"health_update","data":{"metric":"glucose","value":1,"unit":"mg/dL"}}"#).1,
        Some("data.taken_at".into())
    );
    assert_eq!(refusal(r#"{"type":"subscribe","topic":"nowhere"}"#).1, Some("topic".into()));
    assert_eq!(refusal(r#"{"type":"ping","type":"ping"}"#).1, Some("type".into()));
}

#[test]
fn a_refusal_keeps_the_correlation_id() {
    let error = ClientMessage::parse(r#"{"type":"subscribe","correlation_id":"9"}"#).expect_err("no topic");
    assert_eq!(error.correlation_id, Some(CorrelationId::new("9").expect("valid")));
}

#[test]
fn debug_output_holds_no_token_and_no_health_data() {
    for text in [
        r#"{"type":"authenticate","token":"MARKER"}"#,
        r#"{"type":"health_update","data":{"metric":"MARKER","value":1,"unit":"MARKER","taken_at":"2026-01-01T00:00:00Z"}}"#,
    ] {
        let shown = format!("{:?}", ClientMessage::parse(text).expect("valid"));
        assert!(!shown.contains("MARKER"), "{shown}");
    }
}
