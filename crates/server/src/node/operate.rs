//! What those who run the node may do to connections.

use std::rc::Rc;

use healthmate_protocol::{CloseCode, ConnectionId, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Node, Reach, Unanswered};
use crate::registry::Entry;
use crate::shard::Shard;

/// How soon the first connection is asked to come back, in milliseconds.
const COME_BACK_MS: u32 = 500;

/// How long after the one before each further connection is asked to come back, in milliseconds.
const APART_MS: u32 = 250;

/// What happened to a connection that was asked to come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Asked {
    /// The connection.
    connection_id: ConnectionId,
    /// What happened.
    outcome: AskedOutcome,
    /// How long its client was asked to wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u32>,
}

/// What happened to a connection that was to be asked to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AskedOutcome {
    /// It was told `reconnect`, and is closed with 4000.
    Asked,
    /// It is in `error`: its session is kept for another window.
    Kept,
    /// It was closing, or gone, already.
    Gone,
}

impl Node {
    /// Closes a connection, if there is one of that id within `reach`. Says whether there was.
    pub(crate) async fn close(&self, id: ConnectionId, reach: Reach) -> Result<bool, Unanswered> {
        if self.lost.close(&id, &reach) {
            return Ok(true);
        }
        let close = move |shard: &Rc<Shard>| match shard.connection_called(&id, &reach) {
            Some(connection) if !connection.is_closing() => {
                connection.dismiss(shard, CloseCode::ClosedByOperator);
                true
            }
            _ => false,
        };
        Ok(self.ask(close).await?.contains(&true))
    }

    /// Asks every connection of `user` to come back, one after the other, and keeps the sessions whose connections are
    /// lost for another window.
    pub(crate) async fn reconnect(&self, user: &UserId) -> Result<Vec<Asked>, Unanswered> {
        let held = self.running.get().map(|running| running.registry.of(user)).unwrap_or_default();
        let kept = self.lost.extend(user).into_iter();
        let (outcome, after_ms) = (AskedOutcome::Kept, None);
        let mut answers: Vec<_> =
            kept.map(|connection_id| Asked { connection_id, outcome, after_ms }).collect();
        let asked: Vec<_> = held.iter().zip(0..).map(|(entry, turn)| ask(entry, turn)).collect();
        for (asked, entry) in asked.into_iter().zip(held) {
            let answer = tokio::time::timeout(super::WITHIN, asked).await.map_err(|_| Unanswered)?;
            let after_ms = answer.map_err(|_| Unanswered)?;
            let outcome = if after_ms.is_some() { AskedOutcome::Asked } else { AskedOutcome::Gone };
            answers.push(Asked { connection_id: entry.id, outcome, after_ms });
        }
        Ok(answers)
    }
}

/// Asks one connection to come back in its turn; the answer is after how many milliseconds, if it was there.
fn ask(entry: &Entry, turn: u32) -> tokio::sync::oneshot::Receiver<Option<u32>> {
    let key = entry.key;
    let after_ms = COME_BACK_MS.saturating_add(turn.saturating_mul(APART_MS));
    entry.shard.ask(move |shard| {
        let connection = shard.connection(key).filter(|connection| !connection.is_closing())?;
        connection.ask_to_reconnect(shard, after_ms);
        Some(after_ms)
    })
}
