use std::sync::OnceLock;
use std::time::{Duration, Instant};

use healthmate_care::Role;
use healthmate_protocol::server::MeasurementReceipt;
use healthmate_protocol::{
    CloseCode, Envelope, Epoch, ErrorCode, Offset, ServerMessage as Message, Timestamp, UserId,
};

use super::*;
use crate::input::{Found, Identity, OpenedTopic, Refused};

mod laws;
mod presence;
mod recovery;
mod time;

/// Tests read the monotonic clock once, and count from there.
fn at(seconds: u64) -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an origin to count from; its value is never looked at")]
    let start = *START.get_or_init(Instant::now);
    let time: Timestamp = "2026-11-23T07:00:00Z".parse().expect("valid");
    Now { time: time.plus_millis(seconds as i64 * 1000), instant: start + Duration::from_secs(seconds) }
}

fn user(id: &str, role: Role) -> Identity {
    let user = User {
        id: UserId::new(id).expect("valid"),
        role,
        name: id.to_owned(),
        device_of: (role == Role::Device).then(|| UserId::new("ana").expect("valid")),
        active: true,
    };
    Identity { user: Arc::new(user), expires_at: at(7200).time, epoch: epoch(), lost: None }
}

fn epoch() -> Epoch {
    Epoch::new("e1").expect("valid")
}

fn log(oldest: u64, head: u64) -> OpenedTopic {
    OpenedTopic { epoch: epoch(), oldest: Offset(oldest), head: Offset(head), until: None }
}

/// A session and what it did.
struct Bench {
    session: Session,
    actions: Vec<Action>,
}

impl Bench {
    fn new(options: Options) -> Self {
        let id = |text| ConnectionId::new(text).expect("valid");
        let session_id = SessionId::new("5e55").expect("valid");
        let (session, welcome) =
            Session::open(id("c0"), session_id, Endpoint::Health, Arc::new(options), at(0));
        Self { session, actions: vec![welcome] }
    }

    fn signed_in(identity: Identity, options: Options) -> Self {
        let mut bench = Self::new(options);
        let request = bench.send(r#"{"type":"authenticate","token":"t"}"#).request();
        bench.input(at(0), Input::Identified(request, Ok(identity)));
        bench.actions.clear();
        bench
    }

    fn input(&mut self, now: Now, input: Input<'_>) -> &mut Self {
        self.actions.clear();
        self.session.handle(now, input, &mut self.actions);
        self
    }

    fn send(&mut self, text: &str) -> &mut Self {
        self.input(at(1), Input::Text(text))
    }

    /// The id of the one request among the actions.
    fn request(&self) -> RequestId {
        let ids: Vec<_> = self.actions.iter().filter_map(request_of).collect();
        assert_eq!(ids.len(), 1, "{:?}", self.actions);
        ids[0]
    }

    fn messages(&self) -> Vec<&Envelope> {
        self.actions
            .iter()
            .filter_map(|action| match action {
                Action::Send(envelope) => Some(envelope.as_ref()),
                _ => None,
            })
            .collect()
    }

    fn names(&self) -> Vec<&'static str> {
        self.messages().iter().map(|envelope| envelope.message.name()).collect()
    }

    /// The code and field of the one `error` among the actions.
    fn error(&self) -> (ErrorCode, Option<String>) {
        match self.messages().as_slice() {
            [Envelope { message: Message::Error(error), .. }] => (error.code, error.field.clone()),
            other => panic!("not one error: {other:?}"),
        }
    }
}

fn request_of(action: &Action) -> Option<RequestId> {
    match action {
        Action::OpenTopic(id, ..) | Action::LoadHistory(id, _) | Action::LoadPresence(id, _) => Some(*id),
        Action::Record { request, .. } | Action::Authenticate { request, .. } => Some(*request),
        _ => None,
    }
}

const MEASURED: &str =
    r#"{"metric":"heart_rate","value":72,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;

#[test]
fn before_a_token_only_ping_and_authenticate_are_heard() {
    let mut bench = Bench::new(Options::default());
    assert_eq!(bench.names(), ["connection_established"]);
    assert_eq!(bench.session.state(), State::Connected);
    assert_eq!(bench.send(r#"{"type":"ping"}"#).names(), ["pong"]);
    let refused = bench.send(r#"{"type":"subscribe","topic":"health:ana"}"#).error();
    assert_eq!(refused, (ErrorCode::NotAuthenticated, None));
}

#[test]
fn debug_output_holds_nothing_that_a_client_sent() {
    let mut bench = Bench::new(Options::default());
    bench.send(r#"{"type":"authenticate","token":"MARKER"}"#);
    bench.send(r#"{"type":"health_update","data":"MARKER"}"#);
    let refused = Refused::field(ErrorCode::InvalidField, "MARKER", "MARKER");
    let inputs = [Input::Text("MARKER"), Input::Token("MARKER".to_owned())];
    let found = Found { measurements: Vec::new(), next_cursor: Some("MARKER".to_owned()) };
    let shown = format!("{:?} {inputs:?} {refused:?} {found:?}", bench.session);
    assert!(!shown.contains("MARKER"), "{shown}");
    assert!(shown.contains("1 deferred"), "{shown}");
}

#[test]
fn what_follows_a_token_waits_for_its_answer_and_is_not_lost() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t","correlation_id":"a"}"#).request();
    assert!(bench.send(r#"{"type":"subscribe","topic":"health_updates"}"#).actions.is_empty());
    bench.input(at(1), Input::Identified(request, Ok(user("ana", Role::Patient))));
    assert_eq!(bench.names(), ["authentication_success"]);
    assert_eq!(
        bench.messages()[0].correlation_id.as_ref().map(healthmate_protocol::CorrelationId::as_str),
        Some("a")
    );
    assert!(
        matches!(&bench.actions[1], Action::OpenTopic(_, topic, None) if topic.to_string() == "health:ana")
    );
    assert_eq!(bench.session.state(), State::Authenticated);
}

#[test]
fn no_more_is_kept_while_a_token_is_checked_than_one_message_may_be_long() {
    let mut bench = Bench::new(Options { max_message_bytes: 96, ..Options::default() });
    bench.send(r#"{"type":"authenticate","token":"t"}"#);
    assert!(bench.send(r#"{"type":"ping"}"#).actions.is_empty());
    assert!(
        bench.send(r#"{"type":"ping"}  "#).actions.is_empty(),
        "at the limit, with what keeping them costs"
    );
    assert_eq!(bench.send(" ").error().0, ErrorCode::TooManyRequests, "one past it");
}

#[test]
fn a_bad_token_is_told_why_and_closed_for_good() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t"}"#).request();
    bench.input(at(1), Input::Identified(request, Err(Refused::new(ErrorCode::TokenExpired, "expired"))));
    assert_eq!(bench.names(), ["authentication_failed"]);
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::AuthenticationFailed, _)));
    assert_eq!(bench.session.state(), State::Disconnected);
    assert!(bench.send(r#"{"type":"ping"}"#).actions.is_empty());
}

#[test]
fn a_token_that_could_not_be_checked_may_come_back() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t"}"#).request();
    let refused = Refused::new(ErrorCode::StorageUnavailable, "later");
    bench.input(at(1), Input::Identified(request, Err(refused)));
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::TryAgainLater, _)));
}

#[test]
fn a_subscription_replies_before_it_delivers() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    let request = bench
        .send(r#"{"type":"subscribe","topic":"health:ana","since":{"epoch":"e1","offset":3},"correlation_id":"s"}"#)
        .request();
    bench.input(at(2), Input::TopicOpened(request, Ok(log(1, 9))));
    assert_eq!(bench.names(), ["subscription_success"]);
    assert!(matches!(&bench.actions[1], Action::StartDelivery { after: Offset(3), head: Offset(9), .. }));
    assert_eq!(bench.session.topics().count(), 1);

    let request = bench.send(r#"{"type":"subscribe","topic":"health:ben"}"#).request();
    bench.input(at(2), Input::TopicOpened(request, Err(Refused::new(ErrorCode::AccessDenied, "no"))));
    assert_eq!(bench.names(), ["subscription_denied"]);
    assert_eq!(bench.session.topics().count(), 1);

    assert_eq!(
        bench.send(r#"{"type":"unsubscribe","topic":"health:ana"}"#).names(),
        ["unsubscription_success"]
    );
    assert!(matches!(bench.actions[0], Action::StopDelivery(_)));
    assert_eq!(
        bench.send(r#"{"type":"unsubscribe","topic":"health:ana"}"#).error().0,
        ErrorCode::NotSubscribed
    );
}

#[test]
fn topics_that_cannot_be_heard_here_are_denied() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    for topic in ["chat:c1", "chat", "notifications", "ward:w1", "health_updates"] {
        bench.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#));
        assert_eq!(bench.names(), ["subscription_denied"], "{topic}");
    }
}

#[test]
fn topics_are_limited() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options { topics: 2, ..Options::default() });
    for (topic, expected) in [("a", true), ("b", true), ("c", false), ("a", true)] {
        bench.send(&format!(r#"{{"type":"subscribe","topic":"health:{topic}"}}"#));
        assert_eq!(bench.names().is_empty(), expected, "{topic}");
        if expected {
            let request = bench.request();
            bench.input(at(1), Input::TopicOpened(request, Ok(log(1, 0))));
        }
    }
}

#[test]
fn devices_write_their_patient_and_nobody_else() {
    let mut bench = Bench::signed_in(user("watch", Role::Device), Options::default());
    let request = bench.send(&format!(r#"{{"type":"health_update","data":{MEASURED}}}"#)).request();
    let receipt =
        MeasurementReceipt { offset: Offset(1), client_id: None, duplicate: false, flags: Vec::new() };
    bench.input(at(1), Input::Recorded(request, Ok(vec![receipt])));
    assert_eq!(bench.names(), ["acknowledgment"]);
    let foreign = format!(r#"{{"type":"health_update","patient":"ben","data":{MEASURED}}}"#);
    assert_eq!(bench.send(&foreign).error(), (ErrorCode::AccessDenied, Some("patient".into())));

    let mut nurse = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    let written = format!(r#"{{"type":"health_update","patient":"ana","data":{MEASURED}}}"#);
    assert_eq!(nurse.send(&written).error().0, ErrorCode::AccessDenied);
}

#[test]
fn the_wrong_measurement_of_a_batch_is_named_and_none_is_stored() {
    let mut bench = Bench::signed_in(user("watch", Role::Device), Options::default());
    let bad = MEASURED.replace("72", "7200");
    let refused = bench.send(&format!(r#"{{"type":"health_update","batch":[{MEASURED},{bad}]}}"#)).error();
    assert_eq!(refused, (ErrorCode::ImplausibleValue, Some("batch[1].value".into())));
    for wrong in [
        r#"{"type":"health_update"}"#.to_owned(),
        r#"{"type":"health_update","batch":[]}"#.to_owned(),
        format!(r#"{{"type":"health_update","data":{MEASURED},"batch":[{MEASURED}]}}"#),
        format!(r#"{{"type":"health_update","batch":[{}]}}"#, vec![MEASURED; 1001].join(",")),
    ] {
        assert_eq!(bench.send(&wrong).error().0, ErrorCode::InvalidField);
    }
    let full = format!(r#"{{"type":"health_update","batch":[{}]}}"#, vec![MEASURED; 1000].join(","));
    bench.send(&full).request();
}

#[test]
fn requests_that_wait_are_limited() {
    let mut bench =
        Bench::signed_in(user("ana", Role::Patient), Options { pending_requests: 2, ..Options::default() });
    let first = bench.send(r#"{"type":"get_health_data"}"#).request();
    bench.send(r#"{"type":"get_health_data"}"#).request();
    assert_eq!(bench.send(r#"{"type":"get_health_data"}"#).error().0, ErrorCode::TooManyRequests);
    let page = Found { measurements: Vec::new(), next_cursor: None };
    bench.input(at(1), Input::HistoryLoaded(first, Ok(page)));
    bench.send(r#"{"type":"get_health_data"}"#).request();
}

#[test]
fn a_page_is_1_to_1000() {
    let mut bench = Bench::signed_in(user("ana", Role::Patient), Options::default());
    for (limit, taken) in [(0, false), (1, true), (1000, true), (1001, false)] {
        bench.send(&format!(r#"{{"type":"get_health_data","limit":{limit}}}"#));
        assert_eq!(bench.names().is_empty(), taken, "{limit}");
    }
    let refused = bench.send(r#"{"type":"get_health_data","metric":"mood"}"#).error();
    assert_eq!(refused, (ErrorCode::UnknownMetric, Some("metric".into())));
}

/// Signed in, and with no limits of time but those that the test sets.
fn patient(adjust: impl FnOnce(&mut Options)) -> Bench {
    let forever = Duration::from_secs(1_000_000);
    let mut options = Options { ping_after: forever, gone_after: forever, ..Options::default() };
    options.idle_timeout = forever;
    adjust(&mut options);
    Bench::signed_in(user("ana", Role::Patient), options)
}

#[test]
fn commands_are_limited_by_rate() {
    let mut bench = patient(|options| options.commands = healthmate_care::Rate::per_second(1, 2));
    let ping = r#"{"type":"ping"}"#;
    assert_eq!(bench.send(ping).names(), ["pong"]);
    assert_eq!(bench.send(ping).names(), ["pong"]);
    assert_eq!(bench.send(ping).error().0, ErrorCode::TooManyRequests);
    assert_eq!(bench.input(at(2), Input::Text(ping)).names(), ["pong"]);
}

#[test]
fn one_connection_too_many_is_told_so_and_stays_away() {
    let mut bench = Bench::new(Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"t"}"#).request();
    let refused = Refused::new(ErrorCode::TooManyConnections, "five already");
    bench.input(at(1), Input::Identified(request, Err(refused)));
    assert_eq!(bench.names(), ["authentication_failed"]);
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::TooManyConnections, _)));
}

#[test]
fn a_user_who_is_disabled_is_turned_away() {
    let mut bench = patient(|_| {});
    bench.input(at(1), Input::UserRefused(Refused::new(ErrorCode::UserInactive, "disabled")));
    assert_eq!(bench.names(), ["authentication_failed"]);
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::AuthenticationFailed, _)));
}

#[test]
fn a_subscription_ended_before_it_stood_delivers_nothing() {
    let mut bench = patient(|_| {});
    let request =
        bench.send(r#"{"type":"subscribe","topic":"health_updates","correlation_id":"s"}"#).request();
    let unsubscribe = r#"{"type":"unsubscribe","topic":"health_updates","correlation_id":"u"}"#;
    assert!(bench.send(unsubscribe).actions.is_empty());
    bench.input(at(1), Input::TopicOpened(request, Ok(log(1, 9))));
    assert_eq!(bench.names(), ["subscription_success", "unsubscription_success"]);
    assert_eq!((bench.actions.len(), bench.session.topics().count()), (2, 0));
}

#[test]
fn pages_of_history_are_limited() {
    let mut bench = patient(|_| {});
    for _ in 0..4 {
        bench.send(r#"{"type":"get_health_data","limit":1000}"#).request();
    }
    assert_eq!(bench.send(r#"{"type":"get_health_data"}"#).error().0, ErrorCode::TooManyRequests);
}

#[test]
fn a_connection_keeps_its_user() {
    let mut bench = Bench::signed_in(user("ana", Role::Patient), Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"other"}"#).request();
    bench.input(at(1), Input::Identified(request, Ok(user("ben", Role::Patient))));
    assert_eq!(bench.error().0, ErrorCode::AlreadyAuthenticated);
    assert_eq!(bench.session.user().map(|user| user.id.as_str()), Some("ana"));
}
