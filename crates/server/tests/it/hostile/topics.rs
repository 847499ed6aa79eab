//! Other people's topics, by every spelling and every road.

use healthmate_protocol::ServerMessage;
use serde_json::json;

use super::{serves_on, start};
use crate::operators::ask;
use crate::recovery::{come_back, cut, watching};

/// Ways to write `health:ana` that might pass for it after a check.
const SPELLINGS: [&str; 30] = [
    "health:ana",
    "health:ana ",
    " health:ana",
    "health: ana",
    "health:Ana",
    "health:ANA",
    "Health:ana",
    "HEALTH:ana",
    "health:ana\\u0000",
    "health:ana\\n",
    "health:ana\\t",
    "health:\\u0061na",
    "health:%61na",
    "health:an%61",
    "health:\\u0430na",
    "health:a\\u200bna",
    "health:ana\\u0301",
    "health:\\uff41\\uff4e\\uff41",
    "health:*",
    "health:#",
    "health:a*",
    "health:+",
    "health:",
    "health",
    "health:ben:ana",
    "health:ben,health:ana",
    "health:ben/../ana",
    "health::ana",
    "health;ana",
    "*",
];

#[tokio::test]
async fn no_spelling_opens_the_topic_of_somebody_else() {
    let server = start(|_| {}).await;
    let mut ben = server.connect("ben").await;
    for topic in SPELLINGS {
        for extra in ["", r#","since":{"epoch":"x","offset":0}"#, r#","delivery":"latest""#] {
            ben.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"{extra}}}"#)).await;
            let answer = ben.next().await;
            let refused = matches!(answer, ServerMessage::SubscriptionDenied(_) | ServerMessage::Error(_));
            assert!(refused, "{topic:?} {extra}: {answer:?}");
        }
        ben.send(&format!(r#"{{"type":"get_presence","topic":"{topic}"}}"#)).await;
        let answer = ben.next().await;
        assert!(matches!(answer, ServerMessage::Error(_)), "{topic:?}: {answer:?}");
        ben.send(&format!(r#"{{"type":"unsubscribe","topic":"{topic}"}}"#)).await;
        let answer = ben.next().await;
        assert!(matches!(answer, ServerMessage::Error(_)), "{topic:?}: {answer:?}");
    }
    // What was measured meanwhile came to nobody but those who may see it.
    let mut watch = server.connect("watch-ana").await;
    watch.record([1, 2, 3]).await;
    ben.send(r#"{"type":"ping"}"#).await;
    assert_eq!(ben.next().await.name(), "pong");
    drop((ben, watch));
    serves_on(server).await;
}

/// "My own" is the user's own, whatever the role: a nurse is no patient, an admin neither.
#[tokio::test]
async fn a_short_name_opens_nothing_of_others() {
    let server = start(|_| {}).await;
    for user in ["nora", "ada"] {
        let mut client = server.connect(user).await;
        for topic in ["health_updates", "health:nora", "health:ada", "health:watch-ana"] {
            client.send(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#)).await;
            let answer = client.next().await;
            assert!(matches!(answer, ServerMessage::SubscriptionDenied(_)), "{user} {topic}: {answer:?}");
        }
    }
    serves_on(server).await;
}

#[tokio::test]
async fn nothing_of_others_is_read_or_written_by_command_or_request() {
    let server = start(|_| {}).await;
    let mut ben = server.connect("ben").await;
    let good = r#""metric":"heart_rate","value":72,"unit":"bpm","taken_at":"2026-01-01T00:00:00Z""#;
    for command in [
        r#"{"type":"get_health_data","patient":"ana"}"#.to_owned(),
        r#"{"type":"get_health_data","patient":"ana","limit":1,"cursor":"1.1"}"#.to_owned(),
        format!(r#"{{"type":"health_update","patient":"ana","data":{{{good}}}}}"#),
        r#"{"type":"acknowledge","topic":"health:ana","offset":1}"#.to_owned(),
        r#"{"type":"get_health_data","patient":"nobody"}"#.to_owned(),
    ] {
        ben.send(&command).await;
        let answer = ben.next().await;
        assert!(matches!(answer, ServerMessage::Error(_)), "{command}: {answer:?}");
    }
    for (path, known) in [
        ("/v1/patients/ana/measurements", 403),
        ("/v1/patients/nobody/measurements", 403),
        ("/v1/patients/ana/presence", 403),
        ("/v1/patients/Ana/measurements", 403),
    ] {
        let (status, body) = ask(&server, Some("ben"), "GET", path).await;
        assert_eq!(status, known, "{path}: {body}");
    }
    drop(ben);
    serves_on(server).await;
}

/// A session is its user's: with its id, somebody else gets a session of their own, and none of its topics.
#[tokio::test]
async fn the_session_of_somebody_else_is_not_resumed() {
    let server = start(|settings| settings.sessions.resume_window_s = 60).await;
    let mut device = server.connect("watch-ana").await;
    let (client, connection, session) = watching(&server, "").await;
    cut(&server, client, &connection).await;
    for offsets in [json!({}), json!({ "health:ana": 0 }), json!({ "health:ana": u64::MAX })] {
        let (mut ben, resumed) = come_back(&server, "ben", &session, &offsets).await;
        assert!(!resumed);
        device.record([1]).await;
        ben.send(r#"{"type":"ping"}"#).await;
        assert_eq!(ben.next().await.name(), "pong", "nothing of ana came");
    }
    let (_, resumed) = come_back(&server, "nora", &session, &json!({})).await;
    assert!(resumed, "it still is nora's");
    server.stop().await;
}
