//! Stopping.

use std::time::Duration;

use crate::server::TestServer;

#[tokio::test]
async fn everyone_is_told_to_come_back_and_the_server_ends() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for user in ["ana", "ben", "nora", "ada"].into_iter().cycle().take(20) {
        clients.push(server.connect(user).await);
    }
    let (app, address) = (server.app.clone(), server.address());
    let stopping = tokio::spawn(server.stop());
    for client in &mut clients {
        assert_eq!(client.close_code().await, 4000);
    }
    stopping.await.expect("stopped");
    assert!(!app.is_ready());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_keep_the_server() {
    let server = TestServer::start().await;
    // Never read from again: it will not answer the close frame.
    let _silent = server.connect("ana").await;
    let stopped = tokio::time::timeout(Duration::from_secs(10), server.stop()).await;
    assert!(stopped.is_ok(), "still there after the grace time");
}
