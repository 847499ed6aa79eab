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
    let message =
        ClientMessage::parse(r#"{"type":"ping","correlation_id":"7","colour":"blue"}"#).expect("valid");
    assert_eq!(message.correlation_id, Some(CorrelationId::new("7").expect("valid")));
}

#[test]
fn every_refusal_names_code_field_and_problem() {
    assert_eq!(refusal("{").0, ErrorCode::MalformedJson);
    assert_eq!(refusal("[]").0, ErrorCode::MalformedJson);
    assert_eq!(refusal(r#"["ping"]"#).0, ErrorCode::MalformedJson);
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

/// As a list of its fields in their order, a value would change its meaning with the next field that is added.
#[test]
fn what_should_be_an_object_or_a_word_is_nothing_else() {
    let measurement = r#"["heart_rate",72,"bpm","2026-11-23T07:00:00Z"]"#;
    let chunk = r#"["ecg_lead_ii","mV","2026-11-23T07:00:00Z",250,[0.1]]"#;
    for (text, field) in [
        (format!(r#"{{"type":"health_update","data":{measurement}}}"#), "data"),
        (format!(r#"{{"type":"health_update","batch":[{measurement}]}}"#), "batch[0]"),
        (format!(r#"{{"type":"health_waveform","data":{chunk}}}"#), "data"),
        (r#"{"type":"subscribe","topic":"health:a","since":["e",5]}"#.to_owned(), "since"),
        (r#"{"type":"subscribe","topic":"health:a","delivery":{"latest":null}}"#.to_owned(), "delivery"),
        (r#"{"type":"subscribe","topic":"health:a","include":[{"waveform":null}]}"#.to_owned(), "include[0]"),
        (
            r#"{"type":"authenticate","token":"t","offsets":{"health:a":1,"health:a":2}}"#.to_owned(),
            "offsets",
        ),
        (r#"{"type":"authenticate","token":"t","offsets":[["health:a",1]]}"#.to_owned(), "offsets"),
    ] {
        let (code, named, message) = refusal(&text);
        assert_eq!((code, named.as_deref()), (ErrorCode::InvalidField, Some(field)), "{text}: {message}");
    }
}

#[test]
fn a_number_past_all_limits_is_named_as_what_is_wrong() {
    let (code, _, message) = refusal(r#"{"type":"health_update","data":{"value":1e999}}"#);
    assert_eq!(code, ErrorCode::MalformedJson);
    assert!(message.contains("number out of range"), "{message}");
}

#[test]
fn a_refusal_repeats_little_of_what_came() {
    let long = "\u{80}".repeat(10_000);
    for text in [
        r#"{"type":"LONG"}"#,
        r#"{"type":"subscribe","topic":"health:a","delivery":"LONG"}"#,
        r#"{"type":"get_health_data","limit":"LONG"}"#,
        r#"{"type":"authenticate","token":"t","offsets":{"LONG":"LONG"}}"#,
    ] {
        let (_, field, message) = refusal(&text.replace("LONG", &long));
        assert!(message.len() < 600 && field.is_none_or(|field| field.len() < 600), "{text}");
    }
    let message = refusal(&format!(r#"{{"type":"subscribe","topic":"chat","delivery":"{long}"}}"#)).2;
    assert!(message.ends_with("expected `durable` or `latest`"), "{message}");
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
    let (code, field) = (ErrorCode::ImplausibleValue, Some("MARKER".to_owned()));
    let refused = crate::server::Error { code, message: "MARKER".to_owned(), field, retry: false };
    assert_eq!(format!("{refused:?}"), "Error(implausible_value)");
    let patient = UserId::new("p").expect("valid");
    let next_cursor = Some("MARKER".to_owned());
    let page = crate::server::HealthDataResponse { patient, measurements: Vec::new(), next_cursor };
    let asked = GetHealthData { cursor: Some("MARKER".to_owned()), ..GetHealthData::default() };
    let shown = format!("{page:?} {asked:?}");
    assert!(!shown.contains("MARKER"), "{shown}");
}

/// What is read once must be read like what is read twice.
#[test]
fn a_message_means_the_same_wherever_its_type_stands() {
    let both = |rest: &str| {
        let first = ClientMessage::parse(&format!(r#"{{"type":"subscribe",{rest}}}"#));
        let last = ClientMessage::parse(&format!(r#"{{{rest},"type":"subscribe"}}"#));
        let seen = |read: &Result<ClientMessage, ParseError>| {
            read.clone().map(|message| message.correlation_id.is_some()).map_err(|error| error.code)
        };
        assert_eq!(seen(&first), seen(&last), "{rest}");
        assert_eq!(first.clone().ok(), last.ok(), "{rest}");
        seen(&first)
    };
    assert_eq!(both(r#""topic":"health:a""#), Ok(false));
    assert_eq!(both(r#""topic":"health:a","correlation_id":"7""#), Ok(true));
    assert_eq!(both(r#""topic":"health:a","type":"subscribe""#), Err(ErrorCode::InvalidField));
    assert_eq!(both(r#""topic":"health:a","\u0074ype":"subscribe""#), Err(ErrorCode::InvalidField));
    assert_eq!(both(r#""topic":7"#), Err(ErrorCode::InvalidField));
    assert_eq!(both(r#""topic":"#), Err(ErrorCode::MalformedJson));
    let broken = ClientMessage::parse(r#"{"type":"boom","#).expect_err("broken");
    assert_eq!(broken.code, ErrorCode::MalformedJson);
}

mod anything {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{
        Acknowledge, Authenticate, GetHealthData, GetPresence, HealthUpdate, HealthWaveform, Subscribe,
        Unsubscribe,
    };
    use crate::{Delivery, Ephemeral, MeasurementInput, Timestamp, Topic, WaveformInput};

    fn name<T: std::str::FromStr<Err: fmt::Debug> + fmt::Debug>(
        alphabet: &'static str,
    ) -> impl Strategy<Value = T> {
        alphabet.prop_map(|text: String| text.parse::<T>().expect("in the alphabet"))
    }

    fn user() -> impl Strategy<Value = UserId> {
        name("[A-Za-z0-9_.@-]{0,62}[A-Za-z0-9_@-][.]?")
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (-2_208_988_800_000_000_i64..7_258_118_400_000_000).prop_map(Timestamp::from_micros)
    }

    fn topic() -> impl Strategy<Value = TopicName> {
        prop_oneof![
            name("(health_updates|chat|notifications)"),
            name("(health|chat|notifications|ward):[A-Za-z0-9_.@-]{0,62}[A-Za-z0-9_@-][.]?"),
        ]
    }

    fn measurement() -> impl Strategy<Value = MeasurementInput> {
        let number = any::<f64>().prop_filter("JSON has no such number", |value| value.is_finite());
        let client_id = proptest::option::of(name("[ -~]{1,128}"));
        (".*", number, ".*", time(), client_id, proptest::option::of(".*")).prop_map(
            |(metric, value, unit, taken_at, client_id, device)| MeasurementInput {
                metric,
                value,
                unit,
                taken_at,
                client_id,
                device,
            },
        )
    }

    fn full_topic() -> impl Strategy<Value = Topic> {
        name("(health|chat|notifications|ward):[A-Za-z0-9_.@-]{0,62}[A-Za-z0-9_@-][.]?")
    }

    fn number() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("JSON has no such number", |value| value.is_finite())
    }

    fn authenticate() -> impl Strategy<Value = Command> {
        let offsets = proptest::collection::btree_map(".*", any::<u64>().prop_map(Offset), 0..3);
        let session_id = proptest::option::of(name("[0-9a-f-]{1,36}"));
        (".*", session_id, offsets).prop_map(|(token, session_id, offsets)| {
            Command::Authenticate(Authenticate { token, session_id, offsets })
        })
    }

    fn subscribe() -> impl Strategy<Value = Subscribe> {
        let since = (name("[A-Za-z0-9_-]{1,32}"), any::<u64>())
            .prop_map(|(epoch, offset)| SubscribeSince { epoch, offset: Offset(offset) });
        let delivery = prop_oneof![Just(Delivery::Durable), Just(Delivery::Latest)];
        let kind = prop_oneof![Just(Ephemeral::Waveform), Just(Ephemeral::Presence)];
        let include = proptest::collection::vec(kind, 0..3);
        (topic(), proptest::option::of(since), delivery, include, any::<bool>()).prop_map(
            |(topic, since, delivery, include, acknowledge)| Subscribe {
                topic,
                since,
                delivery,
                include,
                acknowledge,
            },
        )
    }

    fn waveform() -> impl Strategy<Value = WaveformInput> {
        let samples = proptest::collection::vec(proptest::option::of(number()), 0..4);
        let rest = (any::<Option<u64>>(), proptest::option::of(".*"));
        (".*", ".*", time(), number(), samples, rest).prop_map(
            |(waveform, unit, started_at, sample_rate_hz, samples, (sequence, device))| WaveformInput {
                waveform,
                unit,
                started_at,
                sample_rate_hz,
                samples,
                sequence,
                device,
            },
        )
    }

    fn command() -> impl Strategy<Value = Command> {
        let some = proptest::option::of::<BoxedStrategy<UserId>>;
        let batch = proptest::collection::vec(measurement(), 0..4);
        let filters =
            (proptest::option::of(".*"), proptest::option::of(time()), proptest::option::of(time()));
        prop_oneof![
            authenticate(),
            subscribe().prop_map(Command::Subscribe),
            (full_topic(), any::<u64>()).prop_map(|(topic, offset)| Command::Acknowledge(Acknowledge {
                topic,
                offset: Offset(offset)
            })),
            (some(user().boxed()), waveform())
                .prop_map(|(patient, data)| Command::HealthWaveform(HealthWaveform { patient, data })),
            topic().prop_map(|topic| Command::GetPresence(GetPresence { topic })),
            topic().prop_map(|topic| Command::Unsubscribe(Unsubscribe { topic })),
            Just(Command::Ping),
            (some(user().boxed()), proptest::option::of(measurement()), proptest::option::of(batch))
                .prop_map(|(patient, data, batch)| Command::HealthUpdate(HealthUpdate {
                    patient,
                    data,
                    batch
                })),
            (some(user().boxed()), filters, any::<Option<u32>>(), proptest::option::of(".*")).prop_map(
                |(patient, (metric, from, to), limit, cursor)| {
                    Command::GetHealthData(GetHealthData { patient, metric, from, to, limit, cursor })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_reads_the_same(
            correlation_id in proptest::option::of(name("[ -~]{1,128}")),
            command in command(),
        ) {
            let message = ClientMessage { correlation_id, command };
            let read = ClientMessage::parse(&message.to_text());
            prop_assert!(read == Ok(message.clone()), "{} reads differently", message.to_text());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = ClientMessage::parse(&text);
        }

        /// Text that is nearly a message reaches further into the parser.
        #[test]
        fn no_damaged_message_makes_the_parser_panic(command in command(), at in any::<prop::sample::Index>(), with in ".?") {
            let mut text: Vec<char> = ClientMessage { correlation_id: None, command }.to_text().chars().collect();
            let at = at.index(text.len());
            text.splice(at..=at, with.chars());
            if let Err(error) = ClientMessage::parse(&text.iter().collect::<String>()) {
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}
