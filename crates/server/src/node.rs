//! This node, as those who run it see and steer it.
//!
//! Routes know no connections: these belong to their shards. So a question goes into each shard's letter box and is
//! answered there, between two messages; nothing here takes a lock that a message waits for.

mod lost;
mod operate;
mod rates;
mod reach;
mod view;

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use healthmate_session::LostOptions;
use tokio::time::Instant;

pub(crate) use self::lost::LostOnNode;
pub(crate) use self::operate::Asked;
pub(crate) use self::rates::{Rates, Recent, SAMPLE_EVERY, Sample};
pub(crate) use self::reach::Reach;
pub(crate) use self::view::{
    ConnectionHealth, ConnectionPage, ConnectionQuery, ConnectionSummary, LastError, StateWord,
};
use crate::registry::Registry;
use crate::shard::{Shard, ShardHandle};
use crate::telemetry::Metrics;

/// How long the shards may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// A shard did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part of the server did not answer within {} s", WITHIN.as_secs())]
pub(crate) struct Unanswered;

/// The shards of this node, once they run, and what came of late.
pub(crate) struct Node {
    started: Instant,
    /// What came over the last minute.
    pub(crate) rates: Rates,
    /// The sessions whose connections are lost, and whose clients may come back.
    pub(crate) lost: LostOnNode,
    running: OnceLock<Running>,
}

struct Running {
    shards: Vec<Arc<ShardHandle>>,
    registry: Arc<Registry>,
}

impl Node {
    /// A node whose shards do not run yet.
    pub(crate) fn new(lost: LostOptions, metrics: Arc<Metrics>) -> Self {
        let started = Instant::now();
        let lost = LostOnNode::new(lost, metrics);
        Self { started, rates: Rates::new(started), lost, running: OnceLock::new() }
    }

    /// Makes the running shards known. Only the first call counts.
    pub(crate) fn run(&self, shards: Vec<Arc<ShardHandle>>, registry: Arc<Registry>) {
        if self.running.set(Running { shards, registry }).is_err() {
            tracing::error!("a server was started twice over the same app");
        }
    }

    /// How long the node has run.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many users hold a connection.
    pub(crate) fn users_online(&self) -> usize {
        self.running.get().map_or(0, |running| running.registry.users())
    }

    /// What each shard answers to `question`.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Rc<Shard>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, Unanswered> {
        let shards = self.running.get().map(|running| running.shards.as_slice()).unwrap_or_default();
        let asked: Vec<_> = shards.iter().map(|shard| shard.ask(question.clone())).collect();
        let answers = async {
            let mut answers = Vec::with_capacity(asked.len());
            for answer in asked {
                answers.push(answer.await.map_err(|_| Unanswered)?);
            }
            Ok(answers)
        };
        tokio::time::timeout(WITHIN, answers).await.map_err(|_| Unanswered)?
    }
}
