//! Stopping the real server: it waits for its clients, unless it is asked twice.

#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

/// A process that is killed when the test ends, also when it fails.
struct Server(Child);

impl Server {
    fn signal(&self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).expect("it runs");
        kill_process(pid, Signal::INT).expect("it runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(data: &std::path::Path) -> (Server, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.env_clear().current_dir(data).args(["serve", "--listen", "127.0.0.1:0"]);
    // Long enough that a server which waits is not taken for one that ends at once.
    command.env("HEALTHMATE_SERVER__SHUTDOWN_GRACE_S", "600");
    let mut server = Server(command.stdout(Stdio::piped()).spawn().expect("it starts"));
    let lines = BufReader::new(server.0.stdout.take().expect("piped")).lines();
    let address = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("http://")?.1.to_owned()));
    (server, address.expect("it says where it listens"))
}

/// A client that has heard the server's close frame and does not answer it.
fn stall(server: &Server, address: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).expect("listening");
    let (mut socket, _) = client(format!("ws://{address}/ws/health"), stream).expect("a websocket");
    socket.read().expect("the greeting");
    server.signal();
    while !matches!(socket.read(), Ok(Message::Close(_)) | Err(_)) {}
    // The answer is written when the socket is used again, which does not happen.
    socket
}

#[test]
fn a_second_signal_ends_a_server_at_once_that_waits_for_a_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, address) = start(folder.path());
    let stalled = stall(&server, &address);
    server.signal();
    let status = server.0.wait().expect("ended");
    assert_eq!(status.code(), Some(130), "it does not wait for the client");
    drop(stalled);
}
