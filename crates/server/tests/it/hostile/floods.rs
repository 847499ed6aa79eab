//! Too much from one address.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{exchange, serves_on, start, status};
use crate::client::Client;
use crate::server::TestServer;

const HELLO: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn counted(server: &TestServer, metric: &str, reason: &str) -> u64 {
    let metrics = server.app.metrics.encode();
    let line = format!("healthmate_{metric}_total{{reason=\"{reason}\"}} ");
    let value = metrics.lines().find_map(|have| have.strip_prefix(&line)).expect("a metric");
    value.parse().expect("a number")
}

/// Many sockets from one address: as many as the limit are served, the others are told so at once, and a place that
/// becomes free is given again.
#[tokio::test]
async fn an_address_holds_as_many_connections_as_it_may() {
    let server = start(|settings| {
        settings.limits.exempt_networks.clear();
        settings.limits.connections_per_address = 8;
        settings.limits.connections_per_second_per_address = 100_000;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Client::open(&server.url("/ws/health")).await);
    }
    // Sockets that say nothing count as well.
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(server.address()).await.expect("listening"));
    }
    for _ in 0..50 {
        let answer = exchange(&server, HELLO).await;
        assert_eq!(status(&answer), 429, "{answer}");
        assert!(answer.contains("retry-after: 1") && answer.contains("too_many_connections"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
    assert_eq!(counted(&server, "connections_refused", "address_full"), 50);
    for client in &mut held {
        client.send(r#"{"type":"ping"}"#).await;
        assert_eq!(client.next().await.name(), "pong", "those who are in are served");
    }
    drop((held, silent));
    while status(&exchange(&server, HELLO).await) != 200 {}
    serves_on(server).await;
}

#[tokio::test]
async fn an_address_opens_as_many_connections_a_second_as_it_may() {
    let server = start(|settings| {
        settings.limits.exempt_networks.clear();
        settings.limits.connections_per_second_per_address = 5;
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(status(&exchange(&server, HELLO).await));
    }
    assert!(statuses[..10].iter().all(|status| *status == 200), "twice a second's worth: {statuses:?}");
    let refused = statuses.iter().filter(|status| **status == 429).count() as u64;
    assert!(refused > 0, "{statuses:?}");
    assert_eq!(counted(&server, "connections_refused", "address_rate"), refused);
    server.stop().await;
}

#[tokio::test]
async fn an_address_sends_as_many_requests_a_second_as_it_may() {
    let server = start(|settings| {
        settings.limits.exempt_networks.clear();
        settings.limits.requests_per_second_per_address = 3;
    })
    .await;
    let many = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    let answer = exchange(&server, many.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 200").count() >= 6, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 429").count(), 1, "the one past it ends the connection: {answer}");
    assert!(answer.contains("retry-after: 1") && answer.contains("too_many_requests"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(counted(&server, "requests_refused", "address_rate"), 1);
    server.stop().await;
}

/// Behind a trusted proxy the address that it names counts; from anybody else the header says nothing.
#[tokio::test]
async fn a_forwarded_address_counts_behind_a_proxy_and_nowhere_else() {
    let proxied = start(|settings| {
        settings.server.trusted_proxies = vec!["127.0.0.1".parse().expect("valid")];
        settings.limits.connections_per_address = 2;
    })
    .await;
    let url = proxied.url("/ws/health");
    let from = |address: &'static str| {
        let url = url.clone();
        async move { Client::try_open(&url, &[("x-forwarded-for", address)]).await }
    };
    let _first = from("203.0.113.9").await.expect("a place");
    let _second = from("1.1.1.1, 203.0.113.9").await.expect("a place");
    let third = from("1.2.3.4, 203.0.113.9").await.err().expect("refused");
    assert!(third.to_string().contains("429"), "{third}");
    from("203.0.113.10").await.expect("another address has its own places");
    assert_eq!(counted(&proxied, "connections_refused", "address_full"), 1);
    proxied.stop().await;

    let direct = start(|settings| {
        settings.limits.exempt_networks.clear();
        settings.limits.connections_per_address = 1;
    })
    .await;
    let _held = Client::open(&direct.url("/ws/health")).await;
    let claims = [("x-forwarded-for", "203.0.113.77")];
    assert!(Client::try_open(&direct.url("/ws/health"), &claims).await.is_err(), "a claim is not believed");
    direct.stop().await;
}

/// Thousands of sockets at once, of which none says anything: the places for handshakes fill, an honest client that
/// comes later finds one again, and nothing stays.
#[tokio::test]
async fn a_connection_flood_passes() {
    let server = start(|settings| {
        settings.limits.max_connections = 50;
        settings.limits.handshake_timeout_s = 1;
    })
    .await;
    let mut flood = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(server.address()).await.expect("listening");
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /ws/health HT").await;
        }
        flood.push(stream);
    }
    for mut stream in flood {
        assert_eq!(status(&super::until_closed(&mut stream).await), 0);
    }
    assert!(counted(&server, "connections_refused", "node_full") > 0);
    serves_on(server).await;
}
