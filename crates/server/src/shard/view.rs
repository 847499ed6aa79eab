//! What operators may look up on a shard.

use std::collections::BTreeMap;
use std::rc::Rc;

use healthmate_protocol::{ConnectionId, TopicKind};

use super::Shard;
use crate::connection::Connection;
use crate::node::Reach;

impl Shard {
    /// The connection of this id, if it is here and within `reach`.
    pub(crate) fn connection_called(&self, id: &ConnectionId, reach: &Reach) -> Option<Rc<Connection>> {
        let connections = self.connections.borrow();
        let found = connections.values().find(|connection| connection.id() == id)?;
        reach.covers(found.user().as_ref()).then(|| Rc::clone(found))
    }

    /// How many subscriptions there are here, by kind of topic.
    pub(crate) fn subscriptions_by_kind(&self) -> BTreeMap<TopicKind, u64> {
        let mut by_kind = BTreeMap::new();
        for (kind, count) in self.hub.borrow().audiences() {
            *by_kind.entry(kind).or_default() += count as u64;
        }
        by_kind
    }
}
