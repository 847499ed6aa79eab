//! What is decided in the same turn, because all it takes is known: no question to the store, no task that waits.

use std::rc::Rc;
use std::sync::Arc;

use healthmate_care::{Action as Act, User};
use healthmate_protocol::{ErrorCode, Offset, SessionId, Topic};
use healthmate_session::{Identity, OpenedTopic, Refused};

use super::Connection;
use super::audit::Granted;
use crate::auth::{Grant, access};
use crate::shard::Shard;
use crate::tls::NOT_ITS_CERTIFICATE;

/// What a client is told who sends somebody else's token.
const OF_ANOTHER_USER: &str = "this connection belongs to another user";

impl Connection {
    /// Lets the user in, unless one has as many connections as one may; to the lost session of this name, if it can go
    /// on.
    pub(super) fn enter(
        self: &Rc<Self>,
        shard: &Shard,
        user: Arc<User>,
        granted: &Grant,
        session_id: Option<SessionId>,
    ) -> Result<Identity, Refused> {
        // Whatever was taken back while the user was looked up.
        granted.check(shard.app()).map_err(|error| Refused::new(error.code(), error.to_string()))?;
        // Before anything is taken over: what the connection came in with goes on to count.
        if self.session.borrow().user().is_some_and(|own| own.id != user.id) {
            return Err(Refused::new(ErrorCode::AlreadyAuthenticated, OF_ANOTHER_USER));
        }
        if !self.transport.borrow().shown(&shard.app().settings.server).admits(&user) {
            self.record_connect_denied(shard, &user, "client_certificate");
            return Err(Refused::new(ErrorCode::AccessDenied, NOT_ITS_CERTIFICATE));
        }
        match self.admit(shard, &user.id) {
            Ok(true) => self.record_connect(shard, &user),
            Ok(false) => {}
            Err(refused) => {
                // The other way is that the connection has ended.
                if refused.code == ErrorCode::TooManyConnections {
                    self.record_connect_denied(shard, &user, refused.code.as_str());
                }
                return Err(refused);
            }
        }
        *self.credential.borrow_mut() = Some(granted.credential.clone());
        let lost = session_id.and_then(|id| self.take_session(shard, &user.id, &id));
        let epoch = shard.app().store.epoch();
        Ok(Identity { user, expires_at: granted.claims.expires_at, epoch, lost })
    }

    /// Opens the topic, if it is known that the connection's user may read it, and how far its log reaches: to `has` at
    /// least. Whoever is to get what was missed is asked for in the store: what is known may be a second old, and nothing is
    /// replayed that is no longer allowed.
    pub(super) fn known_topic(&self, shard: &Shard, topic: &Topic, has: Option<Offset>) -> Option<Granted> {
        let app = shard.app();
        self.check_scope(Act::hearing(topic.kind())).ok()?;
        let range = app.heads.get(topic, has.unwrap_or(Offset::START))?;
        if has.is_some_and(|has| has < range.head) {
            return None;
        }
        let session = self.session.borrow();
        let hearing = Act::hearing(topic.kind());
        let access = access::known(app, session.user()?, hearing, topic.id(), shard.now().instant)?;
        let epoch = app.store.epoch();
        let opened = OpenedTopic { epoch, oldest: range.oldest, head: range.head, until: access.until() };
        Some(Granted { opened, access })
    }
}
