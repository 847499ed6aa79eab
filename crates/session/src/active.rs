//! With a known user.

mod on_command;
mod on_loss;
mod on_result;
mod on_tick;
mod redelivery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use healthmate_care::access::Until;
use healthmate_care::{Bucket, User};
use healthmate_protocol::{
    CorrelationId, ErrorCode, Interest, Offset, ServerMessage, Timestamp, Topic, UserId,
};

use self::redelivery::Unacknowledged;
use crate::action::{Action, RequestId, Since};
use crate::door::turn_away;
use crate::history::{Fault, History};
use crate::input::{Identity, Input, Now, Refused};
use crate::options::Options;
use crate::reply::error;
use crate::session::Context;

/// A connection whose user is known.
#[derive(Debug)]
pub(crate) struct Active {
    user: Arc<User>,
    expires_at: Timestamp,
    /// When to tell the client that its token ends; after all time once it has been told.
    warn_at: Timestamp,
    topics: Vec<Held>,
    pending: Vec<Pending>,
    commands: Bucket,
    /// Nothing, for nearly all.
    history: Option<Box<History>>,
    /// When the client last said something.
    last_message: Instant,
    /// When anything came from it, be it a pong.
    last_received: Instant,
    /// Whether a ping went out since.
    pinged: bool,
    next_heartbeat: Instant,
    /// When the next tick is due, the soonest of heartbeat, ping, idle limit and the token's end.
    deadline: Instant,
}

/// A topic whose events are delivered.
#[derive(Debug)]
struct Held {
    topic: Topic,
    interest: Interest,
    /// When the user's access ends, where that is known.
    until: Option<Until>,
    /// What the client surely has: what it acknowledged last, or where the subscription began.
    since: Since,
    /// Where each event must be acknowledged: what is to be sent again, and when.
    unacknowledged: Option<Box<Unacknowledged>>,
}

/// A request that waits for the server.
#[derive(Debug)]
struct Pending {
    request: RequestId,
    correlation_id: Option<CorrelationId>,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    Identity,
    Topic(Opening),
    Receipts { patient: UserId },
    History { patient: UserId },
    Presence,
}

/// A subscription that does not stand yet.
#[derive(Debug)]
struct Opening {
    topic: Topic,
    interest: Interest,
    since: Option<Since>,
    acknowledge: bool,
    cancelled: Option<Cancelled>,
    /// It belongs to a session that goes on: nobody asked for it on this connection.
    returning: bool,
}

/// The client unsubscribed before the subscription stood: what it called that request.
#[derive(Debug)]
struct Cancelled(Option<CorrelationId>);

/// After all time.
const NEVER: Timestamp = Timestamp::MAX;

/// How many pages of history may be on their way to one connection at once: each can be as long as a slow reader's
/// whole budget.
const HISTORY_AT_ONCE: usize = 4;

impl Active {
    /// Where the session of `identity` goes on, its topics are opened again from `offsets`, the last events that
    /// the client has.
    pub(crate) fn new(
        identity: Identity,
        offsets: &BTreeMap<String, Offset>,
        context: &mut Context,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut active = Self::fresh(identity.user, identity.expires_at, &context.options, now);
        if let Some(lost) = identity.lost {
            active.go_on(*lost, offsets, context, now, actions);
        }
        active
    }

    fn fresh(user: Arc<User>, expires_at: Timestamp, options: &Options, now: Now) -> Self {
        let mut active = Self {
            user,
            expires_at,
            warn_at: warn_at(expires_at, options, now),
            topics: Vec::new(),
            pending: Vec::new(),
            commands: Bucket::default(),
            history: None,
            last_message: now.instant,
            last_received: now.instant,
            pinged: false,
            next_heartbeat: now.instant + options.heartbeat_interval,
            deadline: now.instant,
        };
        active.set_deadline(options, now);
        active
    }

    pub(crate) fn user(&self) -> &Arc<User> {
        &self.user
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter().map(|held| &held.topic)
    }

    pub(crate) fn hears_all(&self, topic: &Topic) -> bool {
        self.topics.iter().any(|held| held.topic == *topic && held.interest.delivery.is_durable())
    }

    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    pub(crate) fn handle(
        &mut self,
        context: &mut Context,
        now: Now,
        input: Input<'_>,
        actions: &mut Vec<Action>,
    ) {
        match input {
            Input::Text(text) => {
                self.said_something(now);
                self.on_text(context, now, text, actions);
            }
            Input::Ping => self.said_something(now),
            Input::Pong => self.is_alive(now),
            Input::Tick => self.on_tick(context, now, actions),
            Input::Identified(request, result) => self.on_identified(context, now, request, result, actions),
            Input::TopicOpened(request, result) => {
                self.on_topic_opened(context, now, request, result, actions);
            }
            Input::Recorded(request, result) => self.on_recorded(now, request, result, actions),
            Input::HistoryLoaded(request, result) => self.on_history(now, request, result, actions),
            Input::PresenceLoaded(request, result) => self.on_presence(now, request, result, actions),
            Input::DeliveryReviewed { topic, position, chance } => {
                self.on_reviewed(context, now, &topic, position, chance, actions);
            }
            Input::AccessDecided(topic, result) => self.on_access(context, now, topic, result, actions),
            Input::UserChanged(user) if user.id == self.user.id => self.user = user,
            Input::UserRefused(refused) => actions.extend(turn_away(now, None, refused)),
            Input::UserChanged(_) | Input::Token(_) | Input::Lost(_) | Input::Disconnected => {}
        }
    }

    fn said_something(&mut self, now: Now) {
        self.last_message = now.instant;
        self.is_alive(now);
    }

    fn is_alive(&mut self, now: Now) {
        self.last_received = now.instant;
        self.pinged = false;
    }

    /// Makes a request wait, or refuses it where too many wait already.
    fn wait_for(
        &mut self,
        context: &mut Context,
        correlation_id: Option<CorrelationId>,
        wanted: Wanted,
    ) -> Result<RequestId, (Option<CorrelationId>, Refused)> {
        if matches!(wanted, Wanted::History { .. }) {
            let pages =
                self.pending.iter().filter(|held| matches!(held.wanted, Wanted::History { .. })).count();
            if pages >= HISTORY_AT_ONCE {
                let message = format!("{HISTORY_AT_ONCE} pages of history are on their way already");
                return Err((correlation_id, Refused::new(ErrorCode::TooManyRequests, message)));
            }
        }
        let limit = context.options.pending_requests;
        let returning = |held: &&Pending| matches!(&held.wanted, Wanted::Topic(opening) if opening.returning);
        if self.pending.len() - self.pending.iter().filter(returning).count() >= limit {
            let message = format!("{limit} requests of this connection wait for an answer already");
            return Err((correlation_id, Refused::new(ErrorCode::TooManyRequests, message)));
        }
        let request = context.next_request();
        self.pending.push(Pending { request, correlation_id, wanted });
        Ok(request)
    }

    /// Whether access to the topic goes on, and until when; if not, delivery ends here and the client is told.
    fn on_access(
        &mut self,
        context: &Context,
        now: Now,
        topic: Topic,
        result: Result<Option<Until>, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(index) = self.topics.iter().position(|held| held.topic == topic) else { return };
        match result {
            Ok(until) => {
                self.topics[index].until = until;
                self.set_deadline(&context.options, now);
            }
            Err(refused) => {
                self.topics.remove(index);
                let named = topic.to_string();
                actions.push(Action::RevokeDelivery(topic));
                actions.push(on_command::denied(now, None, named, refused));
            }
        }
    }

    /// Takes the request that an answer belongs to. An answer nobody waits for is ignored.
    fn answered(&mut self, request: RequestId) -> Option<Pending> {
        let index = self.pending.iter().position(|pending| pending.request == request)?;
        let pending = self.pending.remove(index);
        if self.pending.is_empty() {
            // An idle connection keeps no room for requests.
            self.pending = Vec::new();
        }
        Some(pending)
    }
}

impl Active {
    /// Remembers what the client was refused.
    pub(crate) fn note_refusals(&mut self, now: Now, actions: &[Action]) {
        for action in actions {
            if let Action::Send(envelope) = action
                && let ServerMessage::Error(error) = &envelope.message
            {
                self.note(now, Fault::Refused(error.code));
            }
        }
    }

    /// Remembers what went wrong last.
    fn note(&mut self, now: Now, fault: Fault) {
        self.history.get_or_insert_default().last_error = Some((now.time, fault));
    }
}

/// When to tell the client that its token ends: not before half of its life from now is over, so that clients with tokens
/// of a few seconds are not told at once, and again with each fresh one.
fn warn_at(expires_at: Timestamp, options: &Options, now: Now) -> Timestamp {
    if options.warn_before.is_zero() {
        return NEVER;
    }
    let before = i64::try_from(options.warn_before.as_millis()).unwrap_or(i64::MAX);
    let life = expires_at.millis_since(now.time).max(0);
    now.time.plus_millis((life - before).max(life / 2))
}

/// Sends the refusal of a request.
fn refuse(now: Now, (correlation_id, refused): (Option<CorrelationId>, Refused), actions: &mut Vec<Action>) {
    actions.push(error(now, correlation_id, refused));
}
