//! Answers without a parser: to sockets that are too many, and to bytes that are no HTTP.

use std::io::{self, Write};
use std::net::Shutdown;
use std::time::Duration;

use healthmate_protocol::ErrorCode;
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::framing::Violation;
use crate::connection::Stream;
use crate::gate::Limit;
use crate::http::{Problem, raw_answer};
use crate::shard::Shard;
use crate::telemetry::RefusalReason;

/// How long a client may take to take a refusal.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

impl Limit {
    /// What it is counted as, where it turns a connection away.
    pub(crate) fn reason(self) -> RefusalReason {
        match self {
            Self::AtOnce => RefusalReason::AddressFull,
            Self::Opening | Self::Requests => RefusalReason::AddressRate,
        }
    }

    /// What the client is told.
    pub(crate) fn problem(self) -> Problem {
        let detail = match self {
            Self::AtOnce => "this address holds as many connections as it may",
            Self::Opening | Self::Requests => "this address opens more connections a second than it may",
        };
        Problem::new(ErrorCode::TooManyConnections, detail).with_status(StatusCode::TOO_MANY_REQUESTS)
    }
}

/// Turns a socket away before anything is done for it: with 429, or, where TLS would be needed to say so, without a
/// word.
pub(super) fn turn_away(shard: &Shard, stream: TcpStream, limit: Limit) {
    shard.app().metrics.connections_refused.of(limit.reason()).inc();
    tracing::debug!(?limit, "a connection was turned away");
    if shard.ground.tls.is_none()
        && let Err(error) = say(shard, stream, limit)
    {
        tracing::debug!(%error, "a client left before it was turned away");
    }
}

/// The socket is new: it takes the answer at once, or it takes none.
fn say(shard: &Shard, stream: TcpStream, limit: Limit) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    stream.write_all(&raw_answer(limit.problem(), &shard.app().settings.server))?;
    stream.shutdown(Shutdown::Write)
}

/// Tells a client what is wrong with what it sent, and closes.
pub(super) async fn answer(shard: &Shard, stream: &mut Stream, violation: Violation) {
    shard.app().metrics.requests_refused.of(violation.reason()).inc();
    tracing::debug!(%violation, "a request was malformed");
    let answer = raw_answer(violation.problem(), &shard.app().settings.server);
    let written = timeout(ANSWER_WAIT, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    });
    if !matches!(written.await, Ok(Ok(()))) {
        tracing::debug!("a client left before it was told what is wrong");
    }
}
