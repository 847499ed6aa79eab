//! What goes over the wire: commands, events, replies and codes, and their JSON.
//!
//! One JSON object per WebSocket text message. A client sends a [`ClientMessage`]: its `type`, an optional
//! `correlation_id`, and the fields of that type, flat. The server sends an [`Envelope`] around a
//! [`ServerMessage`]: `type`, `timestamp`, `correlation_id` on replies, `topic` on events, `offset` on durable ones,
//! and `data`.
//!
//! To add a message: give it a struct in [`client`] or [`server`], one line in the table of that module, a
//! fixture in `fixtures/`, and run `make generate`, which writes the schemas and the tables of `docs/protocol.md`.
//!
//! This crate knows nothing of sockets, async code or storage.

pub mod client;
pub mod code;
pub mod fixtures;
pub mod ids;
pub mod measurement;
pub mod notification;
pub mod schema;
pub mod server;
mod strict;
mod text;
pub mod timestamp;
pub mod topic;
pub mod waveform;

pub use client::{ClientMessage, Command, Delivery, Ephemeral, Interest, ParseError, SubscribeSince};
pub use code::{CloseCode, ErrorCode};
pub use ids::{ClientId, ConnectionId, CorrelationId, Epoch, NotificationId, Offset, SessionId, UserId};
pub use measurement::{MeasurementData, MeasurementInput, OriginalQuantity};
pub use notification::{NotificationData, NotificationKind, Priority};
pub use server::{Envelope, ServerMessage};
pub use text::shortened;
pub use timestamp::Timestamp;
pub use topic::{Topic, TopicKind, TopicName};
pub use waveform::{WaveformData, WaveformInput};

/// The WebSocket subprotocol this crate describes.
pub const SUBPROTOCOL: &str = "healthmate.v1";

/// The most measurements one `health_update`, or one REST batch, may carry.
pub const MAX_BATCH: usize = 1000;

/// The most samples one `health_waveform` may carry.
pub const MAX_SAMPLES: usize = 1000;

/// The largest page of history one request may ask for.
pub const MAX_PAGE: u32 = 1000;
