//! Deciding access again on an open connection, when users or care teams have changed.

use std::rc::Rc;
use std::sync::Arc;

use healthmate_care::User;
use healthmate_protocol::{Topic, UserId};
use healthmate_session::{Input, Refused};
use tokio::task::spawn_local;

use super::Connection;
use crate::auth::{TokenError, active_user, still_good};
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
        let (connection, shard, change) = (Rc::clone(self), Rc::clone(shard), shard.rechecks.get());
        spawn_local(async move {
            let Some(known) = connection.session.borrow().user().cloned() else { return };
            let found = connection.still_welcome(&shard, &known.id).await;
            // What was allowed before yet another change does not count after it: that one is decided by itself. A refusal
            // counts always, so that one change after another puts no end off.
            let outdated = || shard.rechecks.get() != change;
            match found {
                Ok(_) if outdated() => {}
                Ok(user) if *user != *known => connection.drive(&shard, Input::UserChanged(user)),
                Ok(_) => {}
                // Not decided, where the store could not be read: asked again soon.
                Err(TokenError(code)) if code.retry() => shard.app().access_undecided(),
                Err(TokenError(code)) => {
                    connection.revoke_all(&shard);
                    let refused = Refused::new(code, code.meaning());
                    return connection.drive(&shard, Input::UserRefused(refused));
                }
            }
            let topics: Vec<Topic> = connection.session.borrow().topics().cloned().collect();
            for topic in topics {
                let decided = connection.still_hears(&shard, &topic).await;
                match decided {
                    Ok(_) if outdated() => {}
                    // Not decided either.
                    Err(refused) if refused.code.retry() => shard.app().access_undecided(),
                    decided => connection.drive(&shard, Input::AccessDecided(topic, decided)),
                }
            }
        });
    }

    /// The connection's user, if the user, and what the user came in with, are still good.
    async fn still_welcome(&self, shard: &Shard, id: &UserId) -> Result<Arc<User>, TokenError> {
        let (app, instant) = (shard.app(), shard.now().instant);
        let credential = self.credential.borrow().clone();
        if let Some(credential) = &credential {
            still_good(app, credential, instant).await?;
        }
        active_user(app, id, instant).await
    }
}
