//! The whole machine: before the token, with it, and after the end.

use std::sync::Arc;
use std::time::Instant;

use healthmate_care::User;
use healthmate_protocol::{ConnectionId, SUBPROTOCOL, ServerMessage, SessionId, Topic, server};

use crate::action::{Action, RequestId};
use crate::active::Active;
use crate::door::{Door, Outcome};
use crate::history::{Fault, History};
use crate::input::{Input, Now};
use crate::options::{Endpoint, Options};
use crate::reply::reply;

/// What every part of a session needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: Arc<Options>,
    pub(crate) endpoint: Endpoint,
    pub(crate) connection_id: ConnectionId,
    pub(crate) session_id: SessionId,
    next_request: u32,
}

impl Context {
    pub(crate) fn next_request(&mut self) -> RequestId {
        self.next_request = self.next_request.wrapping_add(1);
        RequestId(self.next_request)
    }
}

/// Where a connection stands. (`connecting`, the handshake, comes before there is a session.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The socket is open, and no token was accepted yet.
    Connected,
    /// The user is known.
    Authenticated,
    /// The transport failed; the session is kept, and its client may come back to it.
    Error,
    /// The end.
    Disconnected,
}

#[derive(Debug)]
enum Stage {
    Door(Box<Door>),
    Active(Box<Active>),
    /// It was handed out as [`Action::Keep`].
    Lost,
    Over,
}

/// One connection's state machine.
#[derive(Debug)]
pub struct Session {
    context: Context,
    stage: Stage,
}

impl Session {
    /// A session for a socket that just opened, and its first message.
    pub fn open(
        connection_id: ConnectionId,
        session_id: SessionId,
        endpoint: Endpoint,
        options: Arc<Options>,
        now: Now,
    ) -> (Self, Action) {
        let seconds = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let welcome = ServerMessage::ConnectionEstablished(server::ConnectionEstablished {
            connection_id: connection_id.clone(),
            protocol: SUBPROTOCOL.to_owned(),
            heartbeat_interval_s: seconds(options.heartbeat_interval),
            authenticate_within_s: seconds(options.authenticate_within),
            max_message_bytes: u32::try_from(options.max_message_bytes).unwrap_or(u32::MAX),
        });
        let stage = Stage::Door(Box::new(Door::new(now.instant + options.authenticate_within)));
        let context = Context { options, endpoint, connection_id, session_id, next_request: 0 };
        (Self { context, stage }, reply(now, None, welcome))
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        match self.stage {
            Stage::Door(_) => State::Connected,
            Stage::Active(_) => State::Authenticated,
            Stage::Lost => State::Error,
            Stage::Over => State::Disconnected,
        }
    }

    /// The user, once known.
    pub fn user(&self) -> Option<&Arc<User>> {
        match &self.stage {
            Stage::Active(active) => Some(active.user()),
            _ => None,
        }
    }

    /// The topics whose events are delivered.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        let active = match &self.stage {
            Stage::Active(active) => Some(active.topics()),
            _ => None,
        };
        active.into_iter().flatten()
    }

    /// Whether every event of the topic is delivered, so that a missing one can be told by its offset.
    pub fn hears_all(&self, topic: &Topic) -> bool {
        matches!(&self.stage, Stage::Active(active) if active.hears_all(topic))
    }

    /// When anything came from the client last, be it a pong; `None` where no user is known.
    pub fn last_activity(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Active(active) => Some(active.last_received()),
            _ => None,
        }
    }

    /// When the next [`Input::Tick`] is due; `None` after the end.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Door(door) => Some(door.deadline()),
            Stage::Active(active) => Some(active.deadline()),
            Stage::Lost | Stage::Over => None,
        }
    }

    /// The name under which its client may come back.
    pub fn session_id(&self) -> &SessionId {
        &self.context.session_id
    }

    /// What has gone wrong with it; `None` if nothing has.
    pub fn history(&self) -> Option<&History> {
        match &self.stage {
            Stage::Active(active) => active.history(),
            _ => None,
        }
    }

    /// Takes one input and appends what must be done about it to `actions`. After an [`Action::Close`],
    /// [`Input::Lost`] or [`Input::Disconnected`], nothing more is ever appended.
    pub fn handle(&mut self, now: Now, input: Input<'_>, actions: &mut Vec<Action>) {
        match input {
            Input::Disconnected => return self.stage = Stage::Over,
            Input::Lost(fault) => return self.lose(now, fault, actions),
            _ => {}
        }
        match &mut self.stage {
            Stage::Door(door) => match door.handle(&mut self.context, now, input, actions) {
                Outcome::Stay => {}
                Outcome::Enter(identity) => {
                    let (deferred, offsets) = door.take_deferred();
                    let active = Active::new(identity, &offsets, &mut self.context, now, actions);
                    self.stage = Stage::Active(Box::new(active));
                    for text in deferred {
                        self.handle(now, Input::Text(&text), actions);
                    }
                }
            },
            Stage::Active(active) => {
                let before = actions.len();
                active.handle(&mut self.context, now, input, actions);
                active.note_refusals(now, &actions[before..]);
            }
            Stage::Lost | Stage::Over => {}
        }
        if let [before @ .., Action::Close(..)] = actions.as_slice() {
            let kept = matches!(before.last(), Some(Action::Keep(_)));
            self.stage = if kept { Stage::Lost } else { Stage::Over };
        }
    }

    /// Hands the session out, if there is one whose client could come back.
    fn lose(&mut self, now: Now, fault: Fault, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Active(mut active) => {
                actions.push(active.lose(&self.context, now, fault));
                self.stage = Stage::Lost;
            }
            Stage::Lost => self.stage = Stage::Lost,
            Stage::Door(_) | Stage::Over => {}
        }
    }
}

#[cfg(test)]
mod tests;
