//! The sessions of this node whose connections are lost, counted.

use std::sync::Arc;
use std::time::Instant;

use healthmate_protocol::{ConnectionId, SessionId, UserId};
use healthmate_session::{Lost, LostOptions, LostSessions};
use parking_lot::Mutex;

use super::Reach;
use super::view::{ConnectionHealth, ConnectionSummary, StateWord};
use crate::connection::made_at;
use crate::telemetry::{ConnectionState, Metrics};

/// Every session in `error`. Touched when a connection is lost and when somebody comes back, never in between.
#[derive(Debug)]
pub(crate) struct LostOnNode {
    sessions: Mutex<LostSessions>,
    metrics: Arc<Metrics>,
}

impl LostOnNode {
    /// None yet.
    pub(crate) fn new(options: LostOptions, metrics: Arc<Metrics>) -> Self {
        Self { sessions: Mutex::new(LostSessions::new(options)), metrics }
    }

    /// Keeps a session, in case its client comes back.
    pub(crate) fn keep(&self, lost: Lost) {
        self.change(|sessions, now| ((), sessions.keep(now, lost)));
    }

    /// Takes out the session of this name, if it is this user's and can still go on.
    pub(crate) fn take(&self, session_id: &SessionId, user: &UserId) -> Option<Lost> {
        self.change(|sessions, now| (sessions.take(now, session_id, user), 0))
    }

    /// Ends the sessions whose time is over.
    pub(crate) fn expire(&self) {
        self.change(|sessions, now| ((), sessions.expire(now)));
    }

    /// Keeps the user's sessions for another window, and says which.
    pub(crate) fn extend(&self, user: &UserId) -> Vec<ConnectionId> {
        self.change(|sessions, now| (sessions.extend(now, user), 0))
    }

    /// Counts an attempt at recovery, and says whose sessions remain.
    pub(crate) fn attempt(&self) -> Vec<UserId> {
        self.change(LostSessions::attempt)
    }

    /// Ends every session that `is_over` picks.
    pub(crate) fn end(&self, is_over: impl Fn(&Lost) -> bool) {
        self.change(|sessions, _| ((), sessions.end(is_over)));
    }

    /// Ends the session that was on this connection, within `reach`; says whether there was one.
    pub(super) fn close(&self, id: &ConnectionId, reach: &Reach) -> bool {
        let is_it = |lost: &Lost| lost.connection_id == *id && reach.covers(Some(&lost.user.id));
        self.change(|sessions, _| {
            let ended = sessions.end(is_it);
            (ended > 0, ended)
        })
    }

    /// The sessions that `selects` picks, as lists show them.
    pub(super) fn list(&self, selects: impl Fn(&ConnectionId, &UserId) -> bool) -> Vec<ConnectionSummary> {
        let sessions = self.sessions.lock();
        let selected = sessions.iter(now()).filter(|(lost, _)| selects(&lost.connection_id, &lost.user.id));
        selected.map(|(lost, _)| summary(lost)).collect()
    }

    /// The session that was on this connection, within `reach`.
    pub(super) fn health(&self, id: &ConnectionId, reach: &Reach) -> Option<ConnectionHealth> {
        let sessions = self.sessions.lock();
        let (lost, left) = sessions
            .iter(now())
            .find(|(lost, _)| lost.connection_id == *id && reach.covers(Some(&lost.user.id)))?;
        Some(ConnectionHealth::of_lost(summary(lost), lost, left))
    }

    /// Changes the sessions with `change`, which also says how many ended, and counts.
    fn change<T>(&self, change: impl FnOnce(&mut LostSessions, Instant) -> (T, usize)) -> T {
        let mut sessions = self.sessions.lock();
        let (result, ended) = change(&mut sessions, now());
        self.metrics.sessions_ended.inc_by(ended as u64);
        self.metrics.resumable_bytes.set(sessions.bytes() as i64);
        self.metrics.connections.of(ConnectionState::Error).set(sessions.len() as i64);
        result
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn summary(lost: &Lost) -> ConnectionSummary {
    ConnectionSummary {
        connection_id: lost.connection_id.clone(),
        user_id: Some(lost.user.id.clone()),
        state: StateWord::Error,
        connected_at: made_at(&lost.connection_id),
        last_activity: Some(lost.last_activity),
        queued_bytes: 0,
        subscription_count: lost.topics.len() as u64,
    }
}
