//! What is decided in the same turn, because all it takes is known: no question to the store, no task that waits.

use std::sync::Arc;

use healthmate_care::{Action as Act, User};
use healthmate_protocol::{Offset, SessionId, Topic};
use healthmate_session::{Identity, OpenedTopic, Refused};

use super::Connection;
use crate::auth::{Claims, access};
use crate::shard::Shard;

impl Connection {
    /// Lets the user in, unless one has as many connections as one may; to the lost session of this name, if it can go
    /// on.
    pub(super) fn enter(
        &self,
        shard: &Shard,
        user: Arc<User>,
        claims: &Claims,
        session_id: Option<SessionId>,
    ) -> Result<Identity, Refused> {
        self.admit(shard, &user.id)?;
        let lost = session_id.and_then(|id| self.take_session(shard, &user.id, &id));
        let epoch = shard.app().store.epoch();
        Ok(Identity { user, expires_at: claims.expires_at, epoch, lost })
    }

    /// Opens the topic, if it is known that the connection's user may read it, and how far its log reaches: to `has` at
    /// least.
    pub(super) fn known_topic(&self, shard: &Shard, topic: &Topic, has: Offset) -> Option<OpenedTopic> {
        let app = shard.app();
        let range = app.heads.get(topic, has)?;
        let session = self.session.borrow();
        let hearing = Act::hearing(topic.kind());
        let access = access::known(app, session.user()?, hearing, topic.id(), shard.now().instant)?;
        let epoch = app.store.epoch();
        Some(OpenedTopic { epoch, oldest: range.oldest, head: range.head, until: access.until() })
    }
}
