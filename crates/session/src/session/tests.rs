use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use healthmate_care::Role;
use healthmate_protocol::server::MeasurementReceipt;
use healthmate_protocol::{
    CloseCode, Envelope, Epoch, ErrorCode, Offset, ServerMessage as Message, Timestamp, UserId,
};
use proptest::prelude::*;

use super::*;
use crate::input::{Found, Identity, OpenedTopic, Refused};

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
    Identity { user: Arc::new(user), expires_at: at(7200).time, epoch: epoch() }
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
        Action::Authenticate(id, _) | Action::OpenTopic(id, _) | Action::LoadHistory(id, _) => Some(*id),
        Action::Record { request, .. } => Some(*request),
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
    assert!(matches!(&bench.actions[1], Action::OpenTopic(_, topic) if topic.to_string() == "health:ana"));
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
fn no_token_in_time_closes() {
    let mut bench = Bench::new(Options::default());
    assert_eq!(bench.session.deadline(), Some(at(10).instant));
    assert!(bench.input(at(9), Input::Tick).actions.is_empty());
    bench.input(at(10), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::AuthenticationTimeout, _)]));
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
fn heartbeats_come_at_their_interval() {
    let mut bench = patient(|_| {});
    assert_eq!(bench.session.deadline(), Some(at(30).instant));
    assert!(bench.input(at(29), Input::Tick).actions.is_empty());
    assert!(matches!(bench.input(at(30), Input::Tick).actions[..], [Action::SendHeartbeat]));
    assert_eq!(bench.session.deadline(), Some(at(60).instant));
}

#[test]
fn an_idle_connection_ends_at_its_limit_and_pongs_do_not_count() {
    let mut bench = patient(|options| options.idle_timeout = Duration::from_secs(60));
    bench.input(at(50), Input::Pong);
    bench.input(at(59), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::SendHeartbeat]));
    bench.input(at(60), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::IdleTimeout, _)]));

    let mut busy = patient(|options| options.idle_timeout = Duration::from_secs(60));
    busy.input(at(50), Input::Ping);
    busy.input(at(60), Input::Tick);
    assert!(matches!(busy.actions[..], [Action::SendHeartbeat]));
}

#[test]
fn a_silent_peer_is_pinged_and_gone_if_it_does_not_answer() {
    let limits = |options: &mut Options| {
        options.ping_after = Duration::from_secs(20);
        options.gone_after = Duration::from_secs(45);
        options.heartbeat_interval = Duration::from_secs(1000);
    };
    let mut bench = patient(limits);
    assert_eq!(bench.session.deadline(), Some(at(20).instant));
    assert!(matches!(bench.input(at(20), Input::Tick).actions[..], [Action::SendPing]));
    assert!(bench.input(at(30), Input::Tick).actions.is_empty(), "one ping for one silence");
    bench.input(at(31), Input::Pong);
    assert!(matches!(bench.input(at(51), Input::Tick).actions[..], [Action::SendPing]));
    assert!(bench.input(at(75), Input::Tick).actions.is_empty());
    bench.input(at(76), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::Unresponsive, _)]));
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
fn a_token_that_ends_ends_the_connection_and_a_fresh_one_keeps_it() {
    let mut bench = patient(|_| {});
    let request = bench.send(r#"{"type":"authenticate","token":"fresh"}"#).request();
    let fresh = Identity { expires_at: at(8995).time, ..user("ana", Role::Patient) };
    bench.input(at(1), Input::Identified(request, Ok(fresh)));
    assert_eq!(bench.names(), ["authentication_success"]);
    assert!(matches!(bench.input(at(7200), Input::Tick).actions[..], [Action::SendHeartbeat]));
    bench.input(at(9000), Input::Tick);
    assert_eq!(bench.names(), ["authentication_failed"]);
    assert!(matches!(bench.actions[1], Action::Close(CloseCode::AuthenticationFailed, _)));
}

#[test]
fn a_token_is_good_for_its_leeway_and_a_shorter_one_counts_at_once() {
    let mut bench = patient(|options| options.heartbeat_interval = Duration::from_secs(1_000_000));
    assert!(bench.input(at(7204), Input::Tick).actions.is_empty());
    let request = bench.send(r#"{"type":"authenticate","token":"shorter"}"#).request();
    let shorter = Identity { expires_at: at(10).time, ..user("ana", Role::Patient) };
    bench.input(at(1), Input::Identified(request, Ok(shorter)));
    let deadline = bench.session.deadline().expect("open").saturating_duration_since(at(15).instant);
    assert!(deadline <= Duration::from_millis(1), "{deadline:?}");
}

#[test]
fn access_ends_when_its_time_has_come_or_it_is_decided_so() {
    let mut bench = Bench::signed_in(user("nora", Role::Nurse), Options::default());
    for (topic, until) in [("ana", Some(at(10).time)), ("ben", None)] {
        let request = bench.send(&format!(r#"{{"type":"subscribe","topic":"health:{topic}"}}"#)).request();
        bench.input(at(1), Input::TopicOpened(request, Ok(OpenedTopic { until, ..log(1, 0) })));
    }
    assert!(bench.input(at(9), Input::Tick).actions.is_empty());
    bench.input(at(10), Input::Tick);
    assert_eq!(bench.names(), ["subscription_denied"]);
    assert!(matches!(&bench.actions[0], Action::StopDelivery(topic) if topic.to_string() == "health:ana"));

    let ben = || "health:ben".parse().expect("valid");
    assert!(bench.input(at(11), Input::AccessDecided(ben(), Ok(Some(at(20).time)))).actions.is_empty());
    assert!(bench.session.deadline().expect("open") <= at(21).instant);
    let refused = Refused::new(ErrorCode::AccessDenied, "no longer");
    bench.input(at(12), Input::AccessDecided(ben(), Err(refused.clone())));
    assert_eq!(bench.names(), ["subscription_denied"]);
    assert_eq!(bench.session.topics().count(), 0);
    assert!(bench.input(at(13), Input::AccessDecided(ben(), Err(refused))).actions.is_empty(), "told once");
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
fn a_token_that_is_checked_too_slowly_may_come_back() {
    let mut bench = Bench::new(Options::default());
    bench.send(r#"{"type":"authenticate","token":"t"}"#);
    bench.input(at(10), Input::Tick);
    assert!(matches!(bench.actions[..], [Action::Close(CloseCode::TryAgainLater, _)]));
}

#[test]
fn a_connection_keeps_its_user() {
    let mut bench = Bench::signed_in(user("ana", Role::Patient), Options::default());
    let request = bench.send(r#"{"type":"authenticate","token":"other"}"#).request();
    bench.input(at(1), Input::Identified(request, Ok(user("ben", Role::Patient))));
    assert_eq!(bench.error().0, ErrorCode::AlreadyAuthenticated);
    assert_eq!(bench.session.user().map(|user| user.id.as_str()), Some("ana"));
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Answer { which: usize, well: bool },
    Stray(u32),
    Tick(u64),
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..9).prop_map(Step::Send),
        6 => (0usize..8, prop::bool::weighted(0.9)).prop_map(|(which, well)| Step::Answer { which, well }),
        1 => (1000u32..2000).prop_map(Step::Stray),
        1 => (0u64..40).prop_map(Step::Tick),
        1 => Just(Step::Disconnect),
    ];
    prop::collection::vec(step, 1..80)
}

fn command(kind: usize, correlation: u32) -> String {
    let rest = match kind {
        0 => r#""type":"ping""#.to_owned(),
        1 => r#""type":"authenticate","token":"t""#.to_owned(),
        2 => r#""type":"subscribe","topic":"health_updates""#.to_owned(),
        3 => r#""type":"subscribe","topic":"health:ben","since":{"epoch":"e1","offset":2}"#.to_owned(),
        4 => r#""type":"unsubscribe","topic":"health_updates""#.to_owned(),
        5 => format!(r#""type":"health_update","data":{MEASURED}"#),
        6 => r#""type":"get_health_data""#.to_owned(),
        7 => r#""type":"subscribe","topic":"chat""#.to_owned(),
        _ => r#""type":"boom""#.to_owned(),
    };
    format!(r#"{{{rest},"correlation_id":"{correlation}"}}"#)
}

fn answer(action: &Action, well: bool) -> Input<'static> {
    let refused = || Refused::new(ErrorCode::AccessDenied, "no");
    match action {
        Action::Authenticate(id, _) => {
            Input::Identified(*id, if well { Ok(user("ana", Role::Patient)) } else { Err(refused()) })
        }
        Action::OpenTopic(id, _) => {
            Input::TopicOpened(*id, if well { Ok(log(1, 5)) } else { Err(refused()) })
        }
        Action::Record { request, .. } => {
            Input::Recorded(*request, if well { Ok(Vec::new()) } else { Err(refused()) })
        }
        Action::LoadHistory(id, _) => {
            let page = Found { measurements: Vec::new(), next_cursor: None };
            Input::HistoryLoaded(*id, if well { Ok(page) } else { Err(refused()) })
        }
        other => panic!("no request: {other:?}"),
    }
}

proptest! {
    /// The laws of the whole machine, whatever happens in whatever order: every request gets exactly one reply
    /// (none is lost, none is doubled, none comes unasked), delivery starts and stops only for held topics, and
    /// nothing follows a close.
    #[test]
    fn one_reply_for_each_request_and_nothing_after_the_end(steps in steps()) {
        let mut bench = Bench::new(Options::default());
        let mut waiting: Vec<Action> = Vec::new();
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        let mut over = false;
        let mut time = 0;
        for (index, step) in steps.into_iter().enumerate() {
            let text;
            let input = match step {
                Step::Send(kind) => {
                    text = command(kind, index as u32);
                    asked.insert(index.to_string(), 0);
                    Input::Text(&text)
                }
                Step::Answer { .. } if waiting.is_empty() => continue,
                Step::Answer { which, well } => {
                    let request = waiting.remove(which % waiting.len());
                    answer(&request, well)
                }
                Step::Stray(id) => Input::Recorded(RequestId(id), Ok(Vec::new())),
                Step::Tick(seconds) => { time += seconds; Input::Tick }
                Step::Disconnect => Input::Disconnected,
            };
            let disconnects = matches!(input, Input::Disconnected);
            bench.input(at(time), input);
            prop_assert!(!over || bench.actions.is_empty(), "after the end: {:?}", bench.actions);
            for action in bench.actions.drain(..) {
                prop_assert!(!over, "after a close: {action:?}");
                match action {
                    Action::Send(envelope) => {
                        if let Some(id) = envelope.correlation_id {
                            *asked.get_mut(id.as_str()).expect("a reply nobody asked for") += 1;
                        }
                    }
                    Action::Close(..) => over = true,
                    Action::StartDelivery { topic, .. } => {
                        prop_assert!(bench.session.topics().any(|held| *held == topic));
                    }
                    Action::StopDelivery(_) | Action::SendHeartbeat | Action::SendPing => {}
                    request => waiting.push(request),
                }
            }
            over |= disconnects;
        }
        prop_assert!(asked.values().all(|replies| *replies <= 1));
        // Answer all that still waits: then every request has its one reply.
        while !over && !waiting.is_empty() {
            let request = waiting.remove(0);
            bench.input(at(time), answer(&request, true));
            for action in bench.actions.drain(..) {
                match action {
                    Action::Send(envelope) => {
                        if let Some(id) = envelope.correlation_id {
                            *asked.get_mut(id.as_str()).expect("a reply nobody asked for") += 1;
                        }
                    }
                    Action::StartDelivery { .. } | Action::StopDelivery(_) | Action::SendHeartbeat | Action::SendPing => {}
                    Action::Close(..) => over = true,
                    request => waiting.push(request),
                }
            }
        }
        prop_assert!(over || asked.values().all(|replies| *replies == 1), "{asked:?}");
    }
}
