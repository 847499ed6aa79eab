//! Making messages.

use healthmate_protocol::{CorrelationId, Envelope, ServerMessage, server};

use crate::action::Action;
use crate::input::{Now, Refused};

/// Sends `message` as the answer to the request that the client calls `correlation_id`.
pub(crate) fn reply(now: Now, correlation_id: Option<CorrelationId>, message: ServerMessage) -> Action {
    Action::Send(Box::new(Envelope { correlation_id, ..Envelope::new(now.time, message) }))
}

/// Sends an `error`.
pub(crate) fn error(now: Now, correlation_id: Option<CorrelationId>, refused: Refused) -> Action {
    let Refused { code, message, field, .. } = refused;
    let retry = code.retry();
    reply(now, correlation_id, ServerMessage::Error(server::Error { code, message, field, retry }))
}
