//! What operators see and do, over real sockets. Sockets are dealt to the two shards in turn, and so are the
//! operators' own requests: each test has connections on both.

use healthmate_protocol::ServerMessage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Came, Client};
use crate::server::{StoreKind, TestServer};

/// Sends a request and returns the status and the body.
pub(crate) async fn ask(server: &TestServer, user: Option<&str>, method: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.address()).await.expect("listening");
    let token =
        user.map_or(String::new(), |user| format!("Authorization: Bearer {}\r\n", server.token(user)));
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") })
}

/// A connection that is signed in, and its id.
pub(crate) async fn connect(server: &TestServer, user: &str) -> (Client, String) {
    let mut client = Client::try_open(&server.url("/ws/combined"), &[]).await.expect("accepted");
    let ServerMessage::ConnectionEstablished(established) = client.next().await else {
        panic!("no greeting")
    };
    client.sign_in(&server.token(user)).await;
    (client, established.connection_id.to_string())
}

fn ids(page: &Value) -> Vec<&str> {
    let connections = page["connections"].as_array().expect("a list");
    connections.iter().filter_map(|connection| connection["connection_id"].as_str()).collect()
}

#[tokio::test]
async fn an_administrator_sees_the_node_and_the_public_whether_it_is_up() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    for user in ["ana", "ana", "ben", "nora"] {
        held.push(connect(&server, user).await);
    }
    for (client, _) in &mut held[..2] {
        client.subscribe("health:ana", None).await;
    }
    let _waiting = Client::open(&server.url("/ws/health")).await;
    for _ in 0..2 {
        assert_eq!(ask(&server, None, "GET", "/ws/status").await, (200, json!({ "status": "ok" })));
        let (_, status) = ask(&server, Some("ada"), "GET", "/ws/status").await;
        assert_eq!(
            (&status["connections"]["authenticated"], &status["connections"]["connected"]),
            (&json!(4), &json!(1)),
            "{status}"
        );
        assert_eq!((&status["users_online"], &status["subscriptions"]), (&json!(3), &json!({ "health": 2 })));
        assert!(status["rates"]["connections"].as_f64().expect("a number") > 0.0, "{status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_are_listed_by_user_and_state_page_by_page() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    for user in ["ana", "ben", "ana", "nora", "ben"] {
        held.push(connect(&server, user).await);
    }
    let _waiting = Client::open(&server.url("/ws/health")).await;
    let list = async |user, query: &str| {
        let (status, page) = ask(&server, Some(user), "GET", &format!("/ws/connections{query}")).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    assert_eq!(ids(&list("ada", "").await).len(), 6);
    assert_eq!(ids(&list("ada", "?state=connected").await).len(), 1);
    let mut bens = vec![held[1].1.as_str(), held[4].1.as_str()];
    bens.sort_unstable();
    assert_eq!(ids(&list("ada", "?user=ben").await), bens);
    // Nobody else's, whoever asks.
    assert_eq!(ids(&list("ben", "").await), bens);
    assert_eq!(ask(&server, Some("ben"), "GET", "/ws/connections?user=ana").await.0, 403);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = list("ada", &format!("?state=authenticated&limit=2{cursor}")).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut all: Vec<_> = held.iter().map(|(_, id)| id.clone()).collect();
    all.sort_unstable();
    assert_eq!((seen, pages), (all, 3));
    server.stop().await;
}

#[tokio::test]
async fn a_connections_health_shows_its_subscriptions() {
    let server = TestServer::start().await;
    for _ in 0..2 {
        let (mut ana, id) = connect(&server, "ana").await;
        let head = ana.subscribe("health:ana", None).await.head;
        ana.record([1]).await;
        ana.offsets(1).await;
        let path = format!("/ws/connection/{id}/health");
        let (status, health) = ask(&server, Some("ana"), "GET", &path).await;
        assert_eq!((status, &health["connection_id"], &health["user_id"]), (200, &json!(id), &json!("ana")));
        assert_eq!((&health["state"], &health["queued_bytes"]), (&json!("authenticated"), &json!(0)));
        let (opened, active) = (health["connected_at"].as_str(), health["last_activity"].as_str());
        assert!(opened.is_some() && opened <= active, "{health}");
        let at = json!(head.0 + 1);
        let subscription = json!([{ "topic": "health:ana", "position": at, "head": at, "delivery": "live" }]);
        assert_eq!(health["subscriptions"], subscription);
        assert_eq!(ask(&server, Some("ada"), "GET", &path).await.0, 200);
        assert_eq!(ask(&server, Some("nora"), "GET", &path).await.0, 404);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_comes_from_where_trusted_proxies_say() {
    for (trusted, expected) in [("127.0.0.1/32", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")] {
        let server = TestServer::start_with(StoreKind::Memory, |settings| {
            settings.server.trusted_proxies = vec![trusted.parse().expect("a network")];
        })
        .await;
        let forwarded = ("x-forwarded-for", "198.51.100.7, 203.0.113.9");
        let mut ana = Client::try_open(&server.url("/ws/health"), &[forwarded]).await.expect("accepted");
        let ServerMessage::ConnectionEstablished(established) = ana.next().await else {
            panic!("no greeting")
        };
        ana.sign_in(&server.token("ana")).await;
        let path = format!("/ws/connection/{}/health", established.connection_id);
        let (status, health) = ask(&server, Some("ana"), "GET", &path).await;
        assert_eq!((status, &health["client_address"]), (200, &json!(expected)), "{trusted}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_connection_is_closed_by_its_user_or_an_administrator() {
    let server = TestServer::start().await;
    for operator in ["ana", "ada", "ana", "ada"] {
        let (mut ana, id) = connect(&server, "ana").await;
        let path = format!("/ws/connection/{id}");
        assert_eq!(ask(&server, Some("ben"), "DELETE", &path).await.0, 404);
        ana.send(r#"{"type":"ping"}"#).await;
        assert_eq!(ana.next().await.name(), "pong", "ben closed nothing");
        assert_eq!(ask(&server, Some(operator), "DELETE", &path).await, (204, Value::Null));
        assert_eq!(ana.close_code().await, 4504);
        assert_eq!(ask(&server, Some(operator), "DELETE", &path).await.0, 404);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_users_clients_are_asked_to_come_back_each_in_its_turn() {
    let server = TestServer::start().await;
    let mut held = Vec::new();
    for user in ["ana", "ana", "ana", "ben"] {
        held.push(connect(&server, user).await);
    }
    assert_eq!(ask(&server, Some("ben"), "POST", "/ws/user/ana/reconnect").await.0, 403);
    let (status, result) = ask(&server, Some("ada"), "POST", "/ws/user/ana/reconnect").await;
    assert_eq!((status, &result["user_id"]), (200, &json!("ana")));
    let mut ben = held.pop().expect("the last").0;
    for ((client, id), connection) in held.iter_mut().zip(result["connections"].as_array().expect("a list")) {
        assert_eq!((&connection["connection_id"], &connection["outcome"]), (&json!(id), &json!("asked")));
        let ServerMessage::Reconnect(asked) = client.next().await else { panic!("not asked") };
        assert_eq!(json!(asked.after_ms), connection["after_ms"]);
        assert!(matches!(client.come().await, Came::Closed(Some(frame)) if u16::from(frame.code) == 4000));
    }
    ben.send(r#"{"type":"ping"}"#).await;
    assert_eq!(ben.next().await.name(), "pong");
    server.stop().await;
}

#[tokio::test]
async fn refused_connections_are_counted_by_their_reason() {
    let server = TestServer::start_with(StoreKind::Memory, |settings| {
        settings.limits.max_connections = 2;
        settings.limits.connections_per_user = 1;
        settings.server.allowed_origins = vec!["https://app.example.org".to_owned()];
    })
    .await;
    let refused = |reason: &str| {
        let line = format!("healthmate_connections_refused_total{{reason=\"{reason}\"}} ");
        let text = server.app.metrics.encode();
        let count = text.lines().find_map(|text| text.strip_prefix(&line)?.parse::<u32>().ok());
        count.expect("every reason is there")
    };
    let url = server.url("/ws/health");
    assert!(Client::try_open(&url, &[("origin", "https://evil.test")]).await.is_err());
    assert_eq!((refused("origin"), refused("handshake")), (1, 0));
    assert_eq!(ask(&server, None, "GET", "/ws/health").await.0, 426);
    assert_eq!(refused("handshake"), 1);
    let _ana = connect(&server, "ana").await;
    let mut second = Client::open(&url).await;
    assert!(Client::try_open(&url, &[]).await.is_err());
    assert_eq!((refused("node_full"), refused("user_full")), (1, 0));
    second.send(&format!(r#"{{"type":"authenticate","token":"{}"}}"#, server.token("ana"))).await;
    assert_eq!(second.close_code().await, 4502);
    assert_eq!((refused("user_full"), refused("rate"), refused("stopping")), (1, 0, 0));
    server.app.set_ready(false);
    assert!(Client::try_open(&url, &[]).await.is_err());
    assert_eq!(refused("stopping"), 1);
    server.stop().await;
}
