//! The real binary: its commands, and a server that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use healthmate_care::SystemClock;
use healthmate_storage_sqlite::{Options, SqliteStore};

pub(crate) fn healthmate(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_healthmate"));
    command.args(arguments).arg("--data").arg(data);
    command
}

pub(crate) fn output_of(mut command: Command) -> String {
    let output = command.output().expect("healthmate runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A server process, killed when it is dropped.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = healthmate(data, &["serve", "--listen", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
        let mut process = command.stdout(Stdio::piped()).spawn().expect("healthmate starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let address = lines.find_map(|line| {
            let line = line.expect("text");
            line.split_once("http://").map(|(_, rest)| rest.trim().to_owned())
        });
        Self { process, address: address.expect("the server says where it listens") }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("SIGKILL");
        self.process.wait().expect("dead");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Opens the database and does something with it.
pub(crate) fn with_store<T>(data: &Path, work: impl AsyncFnOnce(Arc<SqliteStore>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let options = Options { exclusive: false, ..Options::default() };
        let store = SqliteStore::open(data, &options, Arc::new(SystemClock::default()));
        work(store.expect("the database opens")).await
    })
}

/// The trail is whole, as `healthmate audit verify` says.
pub(crate) fn trail_is_whole(data: &Path) {
    let said = output_of(healthmate(data, &["audit", "verify"]));
    assert!(said.starts_with("the audit trail is whole"), "{said}");
}

/// Whether any file of the folder holds this text.
pub(crate) fn holds(data: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(data).expect("listed").map(|file| file.expect("a file").path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = std::fs::read(path).expect("read");
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// The database itself, for whoever wants to see what is in it.
pub(crate) fn database(data: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(data.join("healthmate.db")).expect("a database");
    conn.busy_timeout(std::time::Duration::from_secs(10)).expect("set");
    conn
}

/// How many rows a query counts.
pub(crate) fn count(conn: &rusqlite::Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).expect("counted")
}
