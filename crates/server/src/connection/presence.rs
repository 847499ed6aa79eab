//! What a connection makes known of its user: that it is there, and what it watches.

use std::rc::Rc;

use healthmate_care::{Action as Act, AuditAction};
use healthmate_protocol::server::PresenceResponse;
use healthmate_protocol::{Interest, Offset, Topic};
use healthmate_session::{Input, Refused, RequestId};

use tracing::debug_span;

use super::Connection;
use crate::presence::{self, Ending};
use crate::refusal::storage_refusal;
use crate::shard::Shard;

impl Connection {
    /// Delivers the topic, live at once if its log ends at `after`, and lets those who ask for it know.
    pub(super) fn start_delivery(
        &self,
        shard: &Shard,
        topic: &Topic,
        interest: Interest,
        after: Offset,
        head: Offset,
    ) {
        // Read here and not before: whatever is committed from now on is published to this shard after this turn.
        let end = shard.app().heads.get(topic, after).map(|range| range.head);
        let mut hub = shard.hub.borrow_mut();
        let before = hub.interest(self.key, topic);
        hub.subscribe(self.key, topic, interest, after, head);
        if let Some(end) = end {
            hub.assure(self.key, topic, end);
        }
        if let Some(user) = self.admitted.get() {
            shard.app().presence.subscribed(user, topic, before, interest);
        }
    }

    /// Delivers the topic no longer.
    pub(super) fn stop_delivery(&self, shard: &Shard, topic: &Topic, ending: Ending) {
        let mut hub = shard.hub.borrow_mut();
        let before = hub.interest(self.key, topic);
        hub.unsubscribe(self.key, topic);
        if let (Some(user), Some(interest)) = (self.admitted.get(), before) {
            shard.app().presence.unsubscribed(user, topic, interest, ending);
        }
    }

    /// Delivers nothing more: the user may hear nothing any more.
    pub(super) fn revoke_all(&self, shard: &Shard) {
        let heard: Vec<_> = shard.hub.borrow().interests(self.key).collect();
        for (topic, _) in heard {
            self.stop_delivery(shard, &topic, Ending::Revoked);
        }
    }

    /// The connection counts no longer, neither as one of its user's nor as one that hears what it does.
    pub(super) fn take_leave(&self, shard: &Shard) {
        let Some(user) = self.admitted.get() else { return };
        shard.ground.registry.remove(user, &self.id);
        let heard: Vec<_> = shard.hub.borrow().interests(self.key).collect();
        shard.app().presence.disconnected(user, &heard, shard.now().instant);
    }

    /// Looks up who is there, for a user who may hear the topic.
    pub(super) fn load_presence(self: &Rc<Self>, shard: &Rc<Shard>, request: RequestId, topic: Topic) {
        let (connection, on) = (Rc::clone(self), Rc::clone(shard));
        let work = async move {
            let look = async || {
                let action = (Act::hearing(topic.kind()), AuditAction::Read);
                let access = connection.check_recorded(&on, action, "presence", topic.id(), "topic").await?;
                let present = presence::look_up(on.app(), &topic).await;
                let present = present.map_err(|error| storage_refusal(&error))?;
                connection.record_read(&on, "presence", topic.id(), access).await?;
                Ok::<_, Refused>(present)
            };
            let present = on.undisturbed(look).await?;
            Ok(PresenceResponse { topic, present })
        };
        let span = debug_span!("get_presence", connection.id = %self.id);
        self.later(shard, span, work, move |result| Input::PresenceLoaded(request, result));
    }
}
