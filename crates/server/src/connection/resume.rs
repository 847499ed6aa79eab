//! Coming back to a session whose connection was lost.

use std::rc::Rc;

use healthmate_protocol::{SessionId, UserId};
use healthmate_session::{Lost, State};

use super::Connection;
use crate::shard::Shard;

/// Where the client comes back before the loss of its old connection was noticed, that one is lost now.
pub(super) async fn take_over(shard: &Shard, user: &UserId, session_id: &SessionId) {
    let Some(held) = shard.ground.registry.on_session(user, session_id) else { return };
    let key = held.key;
    let handed_over = held.shard.ask(move |shard: &Rc<Shard>| {
        if let Some(connection) = shard.connection(key) {
            connection.hand_over(shard);
        }
    });
    // A shard that has ended has no connections.
    let _ = handed_over.await;
}

impl Connection {
    /// The session of this name, if it is the user's and can go on over this connection. It is gone for others then.
    pub(super) fn take_session(
        &self,
        shard: &Shard,
        user: &UserId,
        session_id: &SessionId,
    ) -> Option<Box<Lost>> {
        if self.state() != State::Connected {
            // The time to authenticate is over: the session waits for the next attempt.
            return None;
        }
        let lost = shard.app().node.lost.take(session_id, user)?;
        shard.ground.registry.go_on(user, &self.id, session_id);
        shard.app().metrics.sessions_resumed.inc();
        Some(Box::new(lost))
    }
}
