//! What the client says.

use healthmate_care::{Action as Act, Grants, Measurement, Metric, Refusal, Waveform, decide};
use healthmate_protocol::client::{
    Authenticate, GetHealthData, GetPresence, HealthUpdate, HealthWaveform, Subscribe,
};
use healthmate_protocol::{
    ClientMessage, Command, CorrelationId, Delivery, Envelope, Ephemeral, ErrorCode, Interest, MAX_BATCH,
    MAX_PAGE, MeasurementInput, ServerMessage, Topic, TopicKind, TopicName, UserId, server,
};

use super::{Active, Cancelled, Opening, Wanted, refuse};
use crate::action::{Action, HistoryQuery};
use crate::input::{Now, Refused};
use crate::reply::{error, reply};
use crate::session::Context;

/// How many measurements `get_health_data` brings where it does not say.
const DEFAULT_PAGE: u32 = 10;

impl Active {
    pub(super) fn on_text(&mut self, context: &mut Context, now: Now, text: &str, actions: &mut Vec<Action>) {
        let ClientMessage { correlation_id, command } = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(refusal) => {
                let refused = Refused { field: refusal.field, ..Refused::new(refusal.code, refusal.message) };
                return actions.push(error(now, refusal.correlation_id, refused));
            }
        };
        if let Err(wait) = self.commands.take(context.options.commands, now.instant) {
            let message =
                format!("more commands than this connection may send: wait {} ms", wait.as_millis() + 1);
            let refused = Refused::new(ErrorCode::TooManyRequests, message);
            return actions.push(error(now, correlation_id, refused));
        }
        match command {
            Command::Ping => actions.push(reply(now, correlation_id, ServerMessage::Pong(server::Pong {}))),
            Command::Authenticate(command) => {
                self.on_authenticate(context, now, correlation_id, command, actions);
            }
            Command::Subscribe(command) => self.on_subscribe(context, now, correlation_id, command, actions),
            Command::Unsubscribe(command) => {
                self.on_unsubscribe(now, correlation_id, &command.topic, actions);
            }
            Command::HealthUpdate(command) => {
                self.on_health_update(context, now, correlation_id, command, actions);
            }
            Command::GetHealthData(command) => {
                self.on_get_health_data(context, now, correlation_id, command, actions);
            }
            Command::Acknowledge(command) => self.on_acknowledge(now, correlation_id, &command, actions),
            Command::HealthWaveform(command) => {
                self.on_health_waveform(now, correlation_id, command, actions);
            }
            Command::GetPresence(command) => {
                self.on_get_presence(context, now, correlation_id, &command, actions);
            }
        }
    }

    /// A fresh token for the same user.
    fn on_authenticate(
        &mut self,
        context: &mut Context,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: Authenticate,
        actions: &mut Vec<Action>,
    ) {
        if command.session_id.is_some() {
            let message = "a session goes on with the first authenticate of a connection only";
            let refused = Refused::field(ErrorCode::InvalidField, "session_id", message);
            return actions.push(error(now, correlation_id, refused));
        }
        match self.wait_for(context, correlation_id, Wanted::Identity) {
            Ok(request) => {
                actions.push(Action::Authenticate { request, token: command.token, session_id: None });
            }
            Err(refusal) => refuse(now, refusal, actions),
        }
    }

    fn on_subscribe(
        &mut self,
        context: &mut Context,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: Subscribe,
        actions: &mut Vec<Action>,
    ) {
        if let Err(refused) = check_delivery(&command) {
            return actions.push(error(now, correlation_id, refused));
        }
        let named = command.topic.to_string();
        let topic = match self.servable_topic(context, &command.topic) {
            Ok(topic) => topic,
            Err(refused) => return actions.push(denied(now, correlation_id, named, refused)),
        };
        if let Err(refused) = check_extras(topic.kind(), command.interest()) {
            return actions.push(error(now, correlation_id, refused));
        }
        let has = command.since.as_ref().map(|since| since.offset);
        let opening = Opening {
            topic: topic.clone(),
            interest: command.interest(),
            since: command.since,
            acknowledge: command.acknowledge,
            cancelled: None,
            returning: false,
        };
        match self.wait_for(context, correlation_id, Wanted::Topic(opening)) {
            Ok(request) => actions.push(Action::OpenTopic(request, topic, has)),
            Err(refusal) => refuse(now, refusal, actions),
        }
    }

    /// The topic in full, if this endpoint carries it and the connection has room for it.
    fn servable_topic(&self, context: &Context, name: &TopicName) -> Result<Topic, Refused> {
        let topic = self.carried_topic(context, name)?;
        let opening =
            self.pending.iter().filter(|pending| matches!(pending.wanted, Wanted::Topic(_))).count();
        let limit = context.options.topics;
        if !self.topics().any(|held| *held == topic) && self.topics.len() + opening >= limit {
            let message = format!("a connection may hear {limit} topics, and this one does");
            return Err(Refused::new(ErrorCode::TooManyTopics, message));
        }
        Ok(topic)
    }

    /// The topic in full, if this endpoint carries it.
    fn carried_topic(&self, context: &Context, name: &TopicName) -> Result<Topic, Refused> {
        let kind = match name {
            TopicName::Full(topic) => topic.kind(),
            TopicName::Own(kind) => *kind,
        };
        served(context, kind)?;
        self.full_topic(name).ok_or_else(|| {
            let message = "a user of this role has no measurements: name the patient, as in health:patient-1";
            Refused::field(ErrorCode::AccessDenied, "topic", message)
        })
    }

    fn full_topic(&self, name: &TopicName) -> Option<Topic> {
        match name {
            TopicName::Full(topic) => Some(topic.clone()),
            TopicName::Own(TopicKind::Health) => self.user.own_patient().cloned().map(Topic::health),
            TopicName::Own(kind) => Some(Topic::new(*kind, self.user.id.clone())),
        }
    }

    fn on_unsubscribe(
        &mut self,
        now: Now,
        correlation_id: Option<CorrelationId>,
        name: &TopicName,
        actions: &mut Vec<Action>,
    ) {
        let Some(topic) = self.full_topic(name) else {
            return actions.push(not_subscribed(now, correlation_id, &name.to_string()));
        };
        // One that does not stand yet is ended when it does, so that each request has its answer, in order.
        for pending in &mut self.pending {
            match &mut pending.wanted {
                Wanted::Topic(opening) if opening.topic == topic && opening.cancelled.is_none() => {
                    opening.cancelled = Some(Cancelled(correlation_id));
                    return;
                }
                _ => {}
            }
        }
        let Some(index) = self.topics.iter().position(|held| held.topic == topic) else {
            return actions.push(not_subscribed(now, correlation_id, &name.to_string()));
        };
        self.topics.remove(index);
        actions.push(Action::StopDelivery(topic.clone()));
        actions.push(unsubscribed(now, correlation_id, topic));
    }

    fn on_health_update(
        &mut self,
        context: &mut Context,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: HealthUpdate,
        actions: &mut Vec<Action>,
    ) {
        let accepted = self
            .patient_of(command.patient.clone())
            .and_then(|patient| self.may_write(&patient, now, actions).map(|()| patient))
            .and_then(|patient| Ok((patient, accept(command, now)?)));
        let (patient, measurements) = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => return actions.push(error(now, correlation_id, refused)),
        };
        match self.wait_for(context, correlation_id, Wanted::Receipts { patient: patient.clone() }) {
            Ok(request) => {
                let author = self.user.id.clone();
                actions.push(Action::Record { request, patient, author, measurements });
            }
            Err(refusal) => refuse(now, refusal, actions),
        }
    }

    fn on_health_waveform(
        &mut self,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: HealthWaveform,
        actions: &mut Vec<Action>,
    ) {
        let HealthWaveform { patient, data } = command;
        let accepted = self
            .patient_of(patient)
            .and_then(|patient| self.may_write(&patient, now, actions).map(|()| patient))
            .and_then(|patient| {
                let data = Waveform::accept(data, &patient, &self.user.id, now.time);
                let data = data.map_err(|Refusal { code, field, message }| {
                    Refused::field(code, format!("data.{field}"), message)
                })?;
                Ok((Topic::health(patient), ServerMessage::HealthWaveform(data)))
            });
        actions.push(match accepted {
            Ok((topic, message)) => {
                let event = Box::new(Envelope::ephemeral(now.time, topic.clone(), message));
                Action::Broadcast { event, topic, kind: Ephemeral::Waveform }
            }
            Err(refused) => error(now, correlation_id, refused),
        });
    }

    fn on_get_presence(
        &mut self,
        context: &mut Context,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: &GetPresence,
        actions: &mut Vec<Action>,
    ) {
        let topic = match self.carried_topic(context, &command.topic) {
            Ok(topic) if topic.kind() == TopicKind::Health => topic,
            Ok(_) => {
                let message = "who is there is known of health topics only";
                let refused = Refused::field(ErrorCode::InvalidField, "topic", message);
                return actions.push(error(now, correlation_id, refused));
            }
            Err(refused) => return actions.push(error(now, correlation_id, refused)),
        };
        match self.wait_for(context, correlation_id, Wanted::Presence) {
            Ok(request) => actions.push(Action::LoadPresence(request, topic)),
            Err(refusal) => refuse(now, refusal, actions),
        }
    }

    fn patient_of(&self, named: Option<UserId>) -> Result<UserId, Refused> {
        named.or_else(|| self.user.own_patient().cloned()).ok_or_else(|| {
            let message = "a user of this role has no measurements: name the patient";
            Refused::field(ErrorCode::AccessDenied, "patient", message)
        })
    }

    fn may_write(&self, patient: &UserId, now: Now, actions: &mut Vec<Action>) -> Result<(), Refused> {
        let decision = decide(&self.user, Act::WriteMeasurements, patient, &Grants::NONE, now.time);
        if decision.is_allowed() {
            return Ok(());
        }
        actions.push(Action::Denied { action: Act::WriteMeasurements, patient: patient.clone(), decision });
        Err(Refused::access(decision.reason(), "patient"))
    }

    fn on_get_health_data(
        &mut self,
        context: &mut Context,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: GetHealthData,
        actions: &mut Vec<Action>,
    ) {
        let query = match self.patient_of(command.patient.clone()).and_then(|patient| query(patient, command))
        {
            Ok(query) => query,
            Err(refused) => return actions.push(error(now, correlation_id, refused)),
        };
        match self.wait_for(context, correlation_id, Wanted::History { patient: query.patient.clone() }) {
            Ok(request) => actions.push(Action::LoadHistory(request, query)),
            Err(refusal) => refuse(now, refusal, actions),
        }
    }
}

/// There is no such subscription to end.
pub(super) fn not_subscribed(now: Now, correlation_id: Option<CorrelationId>, topic: &str) -> Action {
    let message = format!("there is no subscription to {topic} on this connection");
    error(now, correlation_id, Refused::field(ErrorCode::NotSubscribed, "topic", message))
}

/// The subscription has ended, as asked.
pub(super) fn unsubscribed(now: Now, correlation_id: Option<CorrelationId>, topic: Topic) -> Action {
    let done = server::UnsubscriptionSuccess { topic };
    reply(now, correlation_id, ServerMessage::UnsubscriptionSuccess(done))
}

/// Refuses topics that are heard elsewhere, and those that have no events yet.
pub(super) fn served(context: &Context, kind: TopicKind) -> Result<(), Refused> {
    let message = match kind {
        _ if !context.endpoint.carries(kind) => {
            format!("this endpoint does not carry {} topics", kind.as_str())
        }
        TopicKind::Chat => "chat is not served yet".to_owned(),
        TopicKind::Ward => "wards are not served yet".to_owned(),
        TopicKind::Health | TopicKind::Notifications => return Ok(()),
    };
    Err(Refused::field(ErrorCode::TopicNotServed, "topic", message))
}

/// Refuses a subscription.
pub(super) fn denied(
    now: Now,
    correlation_id: Option<CorrelationId>,
    topic: String,
    refused: Refused,
) -> Action {
    let Refused { code, message, reason, .. } = refused;
    let reason = reason.map(|reason| reason.as_str().to_owned());
    let denied = server::SubscriptionDenied { topic, code, reason, message, retry: code.retry() };
    reply(now, correlation_id, ServerMessage::SubscriptionDenied(denied))
}

/// Newest values are no log: nothing is resumed, and nothing is acknowledged.
fn check_delivery(command: &Subscribe) -> Result<(), Refused> {
    let field = match command {
        Subscribe { delivery: Delivery::Durable, .. } => return Ok(()),
        Subscribe { since: Some(_), .. } => "since",
        Subscribe { acknowledge: true, .. } => "acknowledge",
        _ => return Ok(()),
    };
    let message = "does not go with the delivery latest: leave it out, or ask for durable";
    Err(Refused::field(ErrorCode::InvalidField, field, message))
}

/// Only a patient's topic has values that replace each other, and anything beside its durable events.
fn check_extras(kind: TopicKind, interest: Interest) -> Result<(), Refused> {
    let field = match interest {
        _ if kind == TopicKind::Health => return Ok(()),
        Interest { delivery: Delivery::Latest, .. } => "delivery",
        Interest { waveform: false, presence: false, .. } => return Ok(()),
        _ => "include",
    };
    let message = format!("does not go with {} topics: leave it out", kind.as_str());
    Err(Refused::field(ErrorCode::InvalidField, field, message))
}

/// Checks every measurement of a command, and names the one that is wrong.
fn accept(command: HealthUpdate, now: Now) -> Result<Vec<Measurement>, Refused> {
    let check = |input: MeasurementInput, place: &dyn Fn() -> String| {
        Measurement::accept(input, now.time).map_err(|Refusal { code, field, message }| {
            Refused::field(code, format!("{}.{field}", place()), message)
        })
    };
    match (command.data, command.batch) {
        (Some(data), None) => Ok(vec![check(data, &|| "data".to_owned())?]),
        (None, Some(batch)) if (1..=MAX_BATCH).contains(&batch.len()) => batch
            .into_iter()
            .enumerate()
            .map(|(index, input)| check(input, &|| format!("batch[{index}]")))
            .collect(),
        (None, Some(batch)) => {
            let message = format!("must hold 1 to {MAX_BATCH} measurements, and this holds {}", batch.len());
            Err(Refused::field(ErrorCode::InvalidField, "batch", message))
        }
        _ => Err(Refused::field(ErrorCode::InvalidField, "data", "send exactly one of data and batch")),
    }
}

fn query(patient: UserId, command: GetHealthData) -> Result<HistoryQuery, Refused> {
    let metric = command.metric.as_deref().map(str::parse::<Metric>).transpose();
    let metric =
        metric.map_err(|error| Refused::field(ErrorCode::UnknownMetric, "metric", error.to_string()))?;
    let limit = command.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("must be 1 to {MAX_PAGE}, and this is {limit}");
        return Err(Refused::field(ErrorCode::InvalidField, "limit", message));
    }
    let GetHealthData { from, to, cursor, .. } = command;
    Ok(HistoryQuery { patient, metric, from, to, limit, cursor })
}
