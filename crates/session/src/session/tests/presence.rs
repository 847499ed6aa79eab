//! Who is there, for those who may hear the topic.

use healthmate_protocol::server::PresenceResponse;

use super::*;

#[test]
fn presence_is_looked_up_and_answered() {
    let mut ana = Bench::signed_in(user("ana", Role::Patient), Options::default());
    let asked = r#"{"type":"get_presence","topic":"health_updates","correlation_id":"7"}"#;
    let request = ana.send(asked).request();
    let Action::LoadPresence(_, topic) = &ana.actions[0] else { panic!("{:?}", ana.actions) };
    assert_eq!(topic.to_string(), "health:ana");
    let nobody = PresenceResponse { topic: topic.clone(), present: Vec::new() };
    ana.input(at(2), Input::PresenceLoaded(request, Ok(nobody)));
    assert_eq!(ana.names(), ["presence_response"]);
    assert_eq!(ana.messages()[0].correlation_id.as_ref().map(ToString::to_string).as_deref(), Some("7"));
    let request = ana.send(asked).request();
    let refused = Refused::field(ErrorCode::AccessDenied, "topic", "no");
    ana.input(at(2), Input::PresenceLoaded(request, Err(refused)));
    assert_eq!(ana.error(), (ErrorCode::AccessDenied, Some("topic".to_owned())));
}

/// A topic that could not be subscribed to is refused with the same words; room for one more is not needed.
#[test]
fn presence_is_refused_where_a_subscription_would_be() {
    let mut nora = Bench::signed_in(user("nora", Role::Nurse), Options { topics: 0, ..Options::default() });
    for (topic, code) in [("health_updates", ErrorCode::AccessDenied), ("ward:w1", ErrorCode::TopicNotServed)]
    {
        let asked = nora.send(&format!(r#"{{"type":"get_presence","topic":"{topic}"}}"#)).error();
        assert_eq!(asked, (code, Some("topic".to_owned())), "{topic}");
        nora.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#));
        let Message::SubscriptionDenied(denied) = &nora.messages()[0].message else { panic!("{topic}") };
        assert_eq!(denied.code, code);
    }
    nora.send(r#"{"type":"get_presence","topic":"health:ana"}"#).request();
}
