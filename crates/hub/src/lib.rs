//! Who hears what on one shard: topics, subscriptions, outboxes and fan-out.
//!
//! A [`Hub`] belongs to one thread, so that nothing on the way to a socket takes a lock. It knows no sockets and
//! no store: the shard writes what [`Hub::flush`] hands it, and reads pages of the log where [`Hub::next_read`]
//! asks for them.
//!
//! A durable subscription has a *position*, the offset it was given last, and is either *live* or *reading*.
//! Live, it takes the event after its position and ignores older ones. It starts reading when it joins, when a
//! reader is slow (its outbox holds its whole byte budget), and when an event is missing before the next one; it
//! reads the log, at the reader's pace, and goes live again at the end of it. (Where it is sure that the log holds no
//! more, that look is spared: [`Hub::assure`].) That one rule is resume, back
//! pressure and repair at once: whatever happens, each event arrives once, in order, without a hole. What many read at
//! once is framed for them once, in a [`Run`].
//!
//! A subscription to newest values (`latest`) starts with what the store holds; while its reader does not keep up, of
//! each [`Series`] the newest value stays and the others are counted. Ephemeral events ([`Hub::broadcast`]) go to
//! those who asked for them and keep up.
//!
//! [`Presence`] belongs to the whole node: who is connected, and who watches what.

mod flush;
mod hub;
mod outbox;
mod presence;
mod run;
mod topic;

pub use flush::{Flushed, Queue};
pub use hub::{ConnectionKey, Hub, Published, ReadRequest, Series, Subscription, Traffic};
pub use outbox::{Outbox, Progress};
pub use presence::{Presence, PresenceChange, Present};
pub use run::Run;
