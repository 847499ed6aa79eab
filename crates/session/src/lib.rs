//! One connection's state machine, without input or output.
//!
//! What happens to a connection is an [`Input`]; what must be done about it is a list of [`Action`]s, which the
//! server performs. Nothing here waits, reads a clock or touches a socket: every call carries [`Now`]. A slow
//! store holds up nobody, because its answer is one more input, recognised by its [`RequestId`].
//!
//! Files follow who speaks: [`door`](Session) before the token was good, `active/on_command.rs` for the client,
//! `active/on_result.rs` for the server's answers, `active/on_tick.rs` for time, `active/on_loss.rs` for a connection
//! that fails; `active/redelivery.rs` sends again what stays unacknowledged. What a lost session leaves behind is kept
//! in [`LostSessions`].

mod action;
mod active;
mod door;
mod history;
mod input;
mod lost;
mod options;
mod reply;
mod resume;
mod session;

pub use action::{Action, HistoryQuery, RequestId};
pub use history::{Fault, History};
pub use input::{Found, Identity, Input, Now, OpenedTopic, Refused};
pub use lost::{Lost, LostOptions, LostSessions, LostTopic};
pub use options::{Endpoint, Options, Redelivery};
pub use resume::{Resume, resume};
pub use session::{Session, State};
