//! When a client comes back, against a scripted server.

use std::time::Duration;

use healthmate_protocol::ServerMessage;
use healthmate_protocol::server::Reconnect as Asked;
use tokio::time::Instant;

use super::*;
use crate::client::Token;
use crate::client::scripted_peer::ScriptedPeer;

/// The pauses a client was told of.
#[derive(Default)]
struct Pauses(Vec<Duration>);

impl Link for Pauses {
    fn cut(&mut self, _: &ClientError, pause: Duration) {
        self.0.push(pause);
    }
    fn restored(&mut self) {}
}

const BACKOFF: Duration = Duration::from_millis(2);

fn reconnect(peer: &ScriptedPeer) -> Reconnect {
    let target = Target::new(&peer.server(), "/ws/health").expect("valid");
    let token = Box::new(|| Ok(Token::new("planted-token")));
    Reconnect::new(target, token, Backoff::within(BACKOFF, BACKOFF, 1))
}

fn come_back_after(after_ms: u32) -> ServerMessage {
    ServerMessage::Reconnect(Asked { after_ms })
}

async fn until_cut(mut connection: Connection) -> ClientError {
    loop {
        if let Err(error) = connection.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn the_pause_that_the_server_names_is_kept_once() {
    let peer = ScriptedPeer::bind().await;
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.say(come_back_after(60)).await;
        connection.close(4000).await;
        // The next server stops too, while the client signs in.
        let mut connection = peer.accept().await;
        assert!(connection.hear().await.is_some());
        connection.say(come_back_after(50)).await;
        connection.close(1001).await;
        let (connection, _) = peer.accept_signed_in().await;
        connection.close(4000).await;
        peer.accept_signed_in().await.0
    };
    let client = async {
        let (mut reconnect, mut pauses) = (reconnect(&peer), Pauses::default());
        let connection = reconnect.connect(&mut pauses, &Offsets::new()).await.expect("connected");
        let cut = until_cut(connection).await;
        assert_eq!(cut.to_string(), "the server closed the connection with 4000: because");
        let before = Instant::now();
        reconnect.pause_after(cut, &mut pauses).await.expect("it may come back");
        assert!(before.elapsed() >= Duration::from_millis(60));
        let connection = reconnect.connect(&mut pauses, &Offsets::new()).await.expect("connected");
        let cut = until_cut(connection).await;
        reconnect.pause_after(cut, &mut pauses).await.expect("it may come back");
        reconnect.connect(&mut pauses, &Offsets::new()).await.expect("connected");
        pauses.0
    };
    let (pauses, _) = tokio::join!(client, server);
    assert_eq!(pauses[..2], [60, 50].map(Duration::from_millis));
    assert!(pauses.len() == 3 && pauses[2] <= BACKOFF, "then the backoff rules again: {pauses:?}");
}

#[tokio::test]
async fn a_pause_does_not_bring_back_who_is_refused() {
    let peer = ScriptedPeer::bind().await;
    let server = async {
        let (mut connection, _) = peer.accept_signed_in().await;
        connection.say(come_back_after(1)).await;
        connection.close(4504).await;
    };
    let client = async {
        let (mut reconnect, mut pauses) = (reconnect(&peer), Pauses::default());
        let connection = reconnect.connect(&mut pauses, &Offsets::new()).await.expect("connected");
        let cut = until_cut(connection).await;
        reconnect.pause_after(cut, &mut pauses).await
    };
    let (ended, ()) = tokio::join!(client, server);
    let refused = "the server closed the connection with 4504: because";
    assert_eq!(ended.expect_err("refused").to_string(), refused);
}
