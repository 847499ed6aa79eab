//! What comes to each door from somebody who means harm. Every test sends it, looks at the exact answer, and then at
//! the server: it still serves an honest client, and holds nothing of the other.
//!
//! `docs/security.md` has the table of all of it. Each rule for tokens is tested in `crates/server/src/auth`; what comes
//! by settings is tested in `crates/server/src/config`, what comes by the command line in `crates/healthmate/tests/hostile.rs`.

mod bodies;
mod floods;
mod frames;
mod handshakes;
mod messages;
mod requests;
mod tls;
mod tokens;
mod topics;

use healthmate_server::config::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::leaks::settled;
use crate::server::{StoreKind, TestServer};

/// A server that keeps no lost sessions, so that nothing is expected to stay.
async fn start(adjust: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::start_with(StoreKind::Memory, |settings| {
        settings.sessions.resume_window_s = 0;
        settings.limits.presence_grace_s = 0;
        adjust(settings);
    })
    .await
}

/// Sends `bytes` over a new socket, and returns all that comes until the server closes it.
async fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.expect("listening");
    // It may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    until_closed(&mut stream).await
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset says that it is closed, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status line's number; 0 for no answer.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// An honest device and an honest nurse are served as ever, and nothing stays of anybody.
async fn serves_on(server: TestServer) {
    let mut nora = server.connect("nora").await;
    nora.subscribe("health:ana", None).await;
    let mut watch: Client = server.connect("watch-ana").await;
    assert_eq!(watch.record([1]).await.len(), 1);
    assert_eq!(nora.offsets(1).await.len(), 1);
    drop((nora, watch));
    let status = settled(&server).await;
    let left = (&status["users_online"], &status["subscriptions"], &status["queued_bytes"]);
    assert_eq!(left, (&json!(0), &json!({}), &json!(0)));
    server.stop().await;
}
