//! Whose connections this node holds, over all its shards.

use std::collections::HashMap;
use std::sync::Arc;

use healthmate_hub::ConnectionKey;
use healthmate_protocol::{CloseCode, ConnectionId, SessionId, UserId};
use parking_lot::Mutex;

use crate::shard::ShardHandle;

/// Every authenticated connection, by user. Touched when one is authenticated and when it ends, never in between.
#[derive(Debug)]
pub(crate) struct Registry {
    per_user: usize,
    replace_oldest: bool,
    users: Mutex<HashMap<UserId, Vec<Entry>>>,
}

/// Where a connection is.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: ConnectionId,
    /// What outlives the connection.
    pub(crate) session_id: SessionId,
    pub(crate) key: ConnectionKey,
    pub(crate) shard: Arc<ShardHandle>,
}

/// The user holds as many connections as one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user may hold {0} connections, and this one does")]
pub(crate) struct TooMany(usize);

impl Registry {
    /// A registry that admits `per_user` connections of each user; one more is refused, or takes the oldest's place.
    pub(crate) fn new(per_user: usize, replace_oldest: bool) -> Self {
        Self { per_user, replace_oldest, users: Mutex::default() }
    }

    /// Admits a connection of `user`. Where the oldest must make room, it is told to close.
    ///
    /// # Errors
    /// If the user holds as many as one may and none is replaced.
    pub(crate) fn admit(&self, user: &UserId, entry: Entry) -> Result<(), TooMany> {
        let replaced = {
            let mut users = self.users.lock();
            // Most users hold one.
            let held = users.entry(user.clone()).or_insert_with(|| Vec::with_capacity(1));
            let full = held.len() >= self.per_user;
            if full && !self.replace_oldest {
                return Err(TooMany(self.per_user));
            }
            // The oldest comes first: connections are added at the end.
            let replaced = full.then(|| held.remove(0));
            held.push(entry);
            replaced
        };
        if let Some(oldest) = replaced {
            oldest.shard.close(oldest.key, CloseCode::Replaced);
        }
        Ok(())
    }

    /// How many users hold a connection.
    pub(crate) fn users(&self) -> usize {
        self.users.lock().len()
    }

    /// The connections of `user`, the oldest first.
    pub(crate) fn of(&self, user: &UserId) -> Vec<Entry> {
        self.users.lock().get(user).cloned().unwrap_or_default()
    }

    /// The user's connection that this session is on.
    pub(crate) fn on_session(&self, user: &UserId, session_id: &SessionId) -> Option<Entry> {
        self.users.lock().get(user)?.iter().find(|held| held.session_id == *session_id).cloned()
    }

    /// Makes it known that a session goes on over this connection.
    pub(crate) fn go_on(&self, user: &UserId, id: &ConnectionId, session_id: &SessionId) {
        let mut users = self.users.lock();
        let held = users.get_mut(user).and_then(|held| held.iter_mut().find(|entry| entry.id == *id));
        if let Some(entry) = held {
            entry.session_id = session_id.clone();
        }
    }

    /// Forgets a connection. One that was replaced is forgotten already, and a newer one stays.
    pub(crate) fn remove(&self, user: &UserId, id: &ConnectionId) {
        let mut users = self.users.lock();
        let Some(held) = users.get_mut(user) else { return };
        held.retain(|entry| entry.id != *id);
        if held.is_empty() {
            users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        let id = ConnectionId::new(id).expect("valid");
        let session_id = SessionId::new("5e55").expect("valid");
        Entry { id, session_id, key: ConnectionKey::default(), shard: Arc::default() }
    }

    #[test]
    fn a_user_holds_so_many_and_a_free_place_is_given_again() {
        let registry = Registry::new(2, false);
        let (ana, ben) = (UserId::new("ana").expect("valid"), UserId::new("ben").expect("valid"));
        assert_eq!(registry.admit(&ana, entry("a1")), Ok(()));
        assert_eq!(registry.admit(&ana, entry("a2")), Ok(()));
        assert_eq!(registry.admit(&ana, entry("a3")), Err(TooMany(2)));
        assert_eq!(registry.admit(&ben, entry("b1")), Ok(()));
        registry.remove(&ana, &entry("a1").id);
        assert_eq!(registry.admit(&ana, entry("a3")), Ok(()));
        assert_eq!(registry.users(), 2);
        assert_eq!(registry.of(&ana).iter().map(|held| held.id.as_str()).collect::<Vec<_>>(), ["a2", "a3"]);
        for id in ["a2", "a3"] {
            registry.remove(&ana, &entry(id).id);
        }
        assert_eq!((registry.users(), registry.of(&ana).len()), (1, 0));
    }

    #[test]
    fn the_oldest_makes_room_where_the_setting_says_so() {
        let registry = Registry::new(1, true);
        let ana = UserId::new("ana").expect("valid");
        let oldest = entry("a1");
        assert_eq!(registry.admit(&ana, oldest.clone()), Ok(()));
        assert_eq!(registry.admit(&ana, entry("a2")), Ok(()));
        assert_eq!(oldest.shard.take().closes, [(ConnectionKey::default(), CloseCode::Replaced)]);
        // The replaced connection ends later than the new one began.
        registry.remove(&ana, &oldest.id);
        assert_eq!(registry.users.lock().len(), 1);
    }
}
