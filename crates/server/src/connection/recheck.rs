//! Deciding access again on an open connection, when users or care teams have changed.

use std::rc::Rc;
use std::sync::Arc;

use healthmate_protocol::Topic;
use healthmate_session::{Input, Refused};
use tokio::task::spawn_local;

use super::Connection;
use crate::auth::{TokenError, active_user};
use crate::shard::Shard;

impl Shard {
    /// Decides with `decide`, and again if users or care teams changed meanwhile: what is decided here is about to
    /// become part of a session, where only the next change would be noticed.
    pub(crate) async fn undisturbed<T>(&self, decide: impl AsyncFn() -> T) -> T {
        loop {
            let before = self.rechecks.get();
            let decided = decide().await;
            if self.rechecks.get() == before {
                return decided;
            }
        }
    }
}

impl Connection {
    /// Asks again who the user is, and what they may hear; ends what they may not.
    pub(crate) fn recheck(self: &Rc<Self>, shard: &Rc<Shard>) {
        let (connection, shard) = (Rc::clone(self), Rc::clone(shard));
        spawn_local(async move {
            if let Some(refused) = connection.user_refused(&shard).await {
                connection.revoke_all(&shard);
                return connection.drive(&shard, Input::UserRefused(refused));
            }
            let topics: Vec<Topic> = connection.session.borrow().topics().cloned().collect();
            let app = Arc::clone(shard.app());
            for topic in topics {
                let decided = connection.check_hears(&app, &topic).await;
                if decided.as_ref().is_err_and(|refused| refused.code.retry()) {
                    // Not decided, because the store could not be read. It is asked again with the next change, and
                    // what comes from the store does not come either.
                    continue;
                }
                connection.drive(&shard, Input::AccessDecided(topic, decided));
            }
        });
    }

    /// Why the connection's user is no longer welcome.
    async fn user_refused(&self, shard: &Shard) -> Option<Refused> {
        let id = self.session.borrow().user()?.id.clone();
        match active_user(shard.app(), &id, shard.now().instant).await {
            Err(TokenError(code)) if !code.retry() => Some(Refused::new(code, code.meaning())),
            // Not decided, where the store could not be read: asked again with the next change.
            _ => None,
        }
    }
}
