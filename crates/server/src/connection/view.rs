//! What operators see of a connection.

use healthmate_protocol::{ConnectionId, Timestamp, UserId};
use healthmate_session::State;

use super::Connection;
use crate::node::{ConnectionHealth, ConnectionSummary, LastError};
use crate::shard::Shard;

impl Connection {
    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.session.borrow().state()
    }

    /// Whether its close frame is queued, or its end has come.
    pub(crate) fn is_closing(&self) -> bool {
        self.ended.get() || self.closing.get().is_some()
    }

    /// Whose it is, also while it closes.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.admitted.get().cloned()
    }

    /// The connection, as lists show it.
    pub(crate) fn summary(&self, shard: &Shard) -> ConnectionSummary {
        let (session, hub) = (self.session.borrow(), shard.hub.borrow());
        let now = shard.now();
        let ago = |instant| now.instant.saturating_duration_since(instant).as_millis() as i64;
        ConnectionSummary {
            connection_id: self.id.clone(),
            user_id: self.user(),
            state: session.state().into(),
            connected_at: made_at(&self.id),
            last_activity: session.last_activity().map(|instant| now.time.plus_millis(-ago(instant))),
            queued_bytes: hub.queued_bytes(self.key) as u64,
            subscription_count: session.topics().count() as u64,
        }
    }

    /// The connection in full.
    pub(crate) fn health(&self, shard: &Shard) -> ConnectionHealth {
        let mut subscriptions: Vec<_> = shard.hub.borrow().subscriptions(self.key).collect();
        subscriptions.sort_unstable_by(|one, other| one.topic.cmp(&other.topic));
        let subscriptions = subscriptions.into_iter().map(Into::into).collect();
        let session = self.session.borrow();
        let history = session.history().cloned().unwrap_or_default();
        ConnectionHealth {
            summary: self.summary(shard),
            session_id: session.user().map(|_| session.session_id().clone()),
            client_address: Some(self.client),
            retry_count: history.retry_count,
            recovery_attempts: history.recovery_attempts,
            last_error: LastError::of(&history),
            resumable_s: None,
            subscriptions,
        }
    }
}

/// When an id was made: the first 48 bits of a `UUIDv7` are its milliseconds.
pub(crate) fn made_at(id: &ConnectionId) -> Timestamp {
    let digits = id.as_str().bytes().filter(u8::is_ascii_hexdigit).take(12);
    let millis =
        digits.fold(0, |millis, digit| millis * 16 + i64::from((digit as char).to_digit(16).unwrap_or(0)));
    Timestamp::from_micros(millis.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use healthmate_care::{Clock, ManualClock};

    use super::*;

    #[test]
    fn an_id_tells_when_it_was_made() {
        let now = "2026-11-23T07:00:00.123Z".parse().expect("valid");
        assert_eq!(made_at(&ManualClock::new(now).connection_id()), now);
    }
}
