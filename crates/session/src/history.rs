//! What has gone wrong with a session, for those who run the node.

use healthmate_protocol::{ErrorCode, Timestamp};

/// What has gone wrong with a session, over all its connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// How often unacknowledged events were sent again.
    pub retry_count: u32,
    /// How often the server tried to recover the session since its connection was lost.
    pub recovery_attempts: u32,
    /// What went wrong last, and when.
    pub last_error: Option<(Timestamp, Fault)>,
}

/// What can go wrong with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The transport ended without a close frame.
    TransportFailed,
    /// The client did not answer a WebSocket ping in time.
    Unresponsive,
    /// The client was asked to come back.
    AskedToReconnect,
    /// The client came back before the loss of its connection was noticed.
    TakenOver,
    /// Events stayed unacknowledged however often they were sent.
    NotAcknowledged,
    /// A request was refused.
    Refused(ErrorCode),
}

impl Fault {
    /// The stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransportFailed => "transport_failed",
            Self::Unresponsive => "unresponsive",
            Self::AskedToReconnect => "asked_to_reconnect",
            Self::TakenOver => "taken_over",
            Self::NotAcknowledged => "not_acknowledged",
            Self::Refused(code) => code.as_str(),
        }
    }
}
