//! Before a token was accepted.

use std::collections::BTreeMap;
use std::time::Instant;

use healthmate_protocol::client::Authenticate;
use healthmate_protocol::{
    ClientMessage, CloseCode, Command, CorrelationId, ErrorCode, Offset, ServerMessage, SessionId, server,
};

use crate::action::{Action, RequestId};
use crate::input::{Identity, Input, Now, Refused};
use crate::reply::{error, reply};
use crate::session::Context;

/// What keeping a message costs beside its text, in bytes.
const DEFERRED_BYTES: usize = 32;

/// A connection whose user is not known. All it can do is present a token, and ping.
#[derive(Debug)]
pub(crate) struct Door {
    deadline: Instant,
    checking: Option<Checking>,
}

/// A token is being checked. What the client sends meanwhile is kept, so that it need not wait for the answer.
struct Checking {
    request: RequestId,
    correlation_id: Option<CorrelationId>,
    /// The session that the client comes back to, and the last event it has of each topic.
    session_id: Option<SessionId>,
    offsets: BTreeMap<String, Offset>,
    deferred: Vec<Box<str>>,
    deferred_bytes: usize,
}

/// Tokens and measurements stay out of logs: how many messages wait.
impl std::fmt::Debug for Checking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checking({:?}, {} deferred)", self.request, self.deferred.len())
    }
}

/// What became of the connection.
pub(crate) enum Outcome {
    /// It still waits at the door.
    Stay,
    /// The token was good.
    Enter(Identity),
}

impl Door {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline, checking: None }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the client sent while its token was being checked, and what it said it has.
    pub(crate) fn take_deferred(&mut self) -> (Vec<Box<str>>, BTreeMap<String, Offset>) {
        self.checking.take().map(|checking| (checking.deferred, checking.offsets)).unwrap_or_default()
    }

    pub(crate) fn handle(
        &mut self,
        context: &mut Context,
        now: Now,
        input: Input<'_>,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        match input {
            Input::Text(text) => self.on_text(context, now, text, actions),
            Input::Token(token) => self.check(context, Authenticate::new(token), None, actions),
            Input::Identified(request, result) => {
                return self.on_identified(context, now, request, result, actions);
            }
            Input::Tick if now.instant >= self.deadline && self.checking.is_some() => {
                actions
                    .push(Action::Close(CloseCode::TryAgainLater, "the token could not be checked in time"));
            }
            Input::Tick if now.instant >= self.deadline => {
                actions.push(Action::Close(CloseCode::AuthenticationTimeout, "no token came in time"));
            }
            _ => {}
        }
        Outcome::Stay
    }

    fn on_text(&mut self, context: &mut Context, now: Now, text: &str, actions: &mut Vec<Action>) {
        if let Some(checking) = &mut self.checking {
            checking.deferred_bytes += text.len() + DEFERRED_BYTES;
            if checking.deferred_bytes > context.options.max_message_bytes {
                let refused = Refused::new(
                    ErrorCode::TooManyRequests,
                    "wait for authentication_success before sending more",
                );
                actions.push(error(now, None, refused));
            } else {
                checking.deferred.push(text.into());
            }
            return;
        }
        match ClientMessage::parse(text) {
            Ok(ClientMessage { correlation_id, command: Command::Authenticate(command) }) => {
                self.check(context, command, correlation_id, actions);
            }
            Ok(ClientMessage { correlation_id, command: Command::Ping }) => {
                actions.push(reply(now, correlation_id, ServerMessage::Pong(server::Pong {})));
            }
            Ok(ClientMessage { correlation_id, command }) => {
                let message = format!("{} needs a token: send authenticate first", command.name());
                actions.push(error(now, correlation_id, Refused::new(ErrorCode::NotAuthenticated, message)));
            }
            Err(refusal) => {
                let refused = Refused { field: refusal.field, ..Refused::new(refusal.code, refusal.message) };
                actions.push(error(now, refusal.correlation_id, refused));
            }
        }
    }

    fn check(
        &mut self,
        context: &mut Context,
        command: Authenticate,
        correlation_id: Option<CorrelationId>,
        actions: &mut Vec<Action>,
    ) {
        let request = context.next_request();
        let Authenticate { token, session_id, offsets } = command;
        actions.push(Action::Authenticate { request, token, session_id: session_id.clone() });
        let (deferred, deferred_bytes) = (Vec::new(), 0);
        self.checking =
            Some(Checking { request, correlation_id, session_id, offsets, deferred, deferred_bytes });
    }

    fn on_identified(
        &mut self,
        context: &mut Context,
        now: Now,
        request: RequestId,
        result: Result<Identity, Refused>,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        let Some(checking) = self.checking.as_mut().filter(|checking| checking.request == request) else {
            return Outcome::Stay;
        };
        let correlation_id = checking.correlation_id.take();
        match result {
            Ok(identity) => {
                if let Some(lost) = &identity.lost {
                    context.session_id = lost.session_id.clone();
                }
                let resumed = checking.session_id.is_some().then_some(identity.lost.is_some());
                actions.push(reply(now, correlation_id, welcome(context, &identity, resumed)));
                Outcome::Enter(identity)
            }
            Err(refused) => {
                actions.extend(turn_away(now, correlation_id, refused));
                Outcome::Stay
            }
        }
    }
}

/// Tells the client why it is refused, and closes.
pub(crate) fn turn_away(now: Now, correlation_id: Option<CorrelationId>, refused: Refused) -> [Action; 2] {
    let Refused { code, message, .. } = refused;
    let failed = server::AuthenticationFailed { code, message, retry: code.retry() };
    [reply(now, correlation_id, ServerMessage::AuthenticationFailed(failed)), refusal_close(code)]
}

/// A token that can be good later is worth another try; a bad one is not.
fn refusal_close(code: ErrorCode) -> Action {
    match code {
        ErrorCode::TooManyConnections => {
            Action::Close(CloseCode::TooManyConnections, "this user has as many connections as one may")
        }
        code if code.retry() => {
            Action::Close(CloseCode::TryAgainLater, "the token could not be accepted now")
        }
        _ => Action::Close(CloseCode::AuthenticationFailed, "the token was refused"),
    }
}

/// The answer to a good token.
pub(crate) fn welcome(context: &Context, identity: &Identity, resumed: Option<bool>) -> ServerMessage {
    ServerMessage::AuthenticationSuccess(server::AuthenticationSuccess {
        user_id: identity.user.id.clone(),
        role: identity.user.role.as_str().to_owned(),
        patient: identity.user.own_patient().cloned(),
        session_id: context.session_id.clone(),
        resumed,
        epoch: identity.epoch.clone(),
        expires_at: identity.expires_at,
    })
}
