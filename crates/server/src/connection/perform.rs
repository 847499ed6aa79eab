//! Doing what the session decides.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use healthmate_care::{Action as Act, AuditAction};
use healthmate_protocol::server::{Error, Heartbeat, MeasurementReceipt, Resumed};
use healthmate_protocol::{Envelope, ErrorCode, Offset, ServerMessage, SessionId, Topic, UserId};
use healthmate_session::{Action, Found, HistoryQuery, Input, OpenedTopic, Refused, RequestId};
use healthmate_storage::{MeasurementQuery, Recording};
use healthmate_ws::Frame;
use tokio::task::spawn_local;
use tracing::{Instrument, Span, debug_span};

use super::Connection;
use super::audit::Granted;
use super::resume::take_over;
use crate::audit::history_object;
use crate::auth::{Credential, TokenError, grant, known_grant, user_of};
use crate::presence::Ending;
use crate::publish::Broadcast;
use crate::refusal::storage_refusal;
use crate::registry::Entry;
use crate::shard::Shard;
use crate::telemetry::RefusalReason;
use crate::telemetry::labels::ResumeResult;

/// What a device does.
const WRITE: (Act, AuditAction) = (Act::WriteMeasurements, AuditAction::Write);

/// What a client is told whose API token does not open what it asks for.
const NOT_OPENED: &str = "this API token does not open this: it was issued for less";

impl Connection {
    pub(super) fn perform(self: &Rc<Self>, shard: &Rc<Shard>, action: Action) {
        match action {
            Action::Send(envelope) => self.send(shard, &envelope),
            Action::Authenticate { request, token, session_id } => {
                self.authenticate(shard, request, &token, session_id);
            }
            Action::OpenTopic(request, topic, has) => self.open_topic(shard, request, topic, has),
            Action::StartDelivery { topic, interest, after, head } => {
                self.start_delivery(shard, &topic, interest, after, head);
            }
            Action::StopDelivery(topic) => {
                self.stop_delivery(shard, &topic, Ending::Left(shard.now().instant));
            }
            Action::RevokeDelivery(topic) => self.stop_delivery(shard, &topic, Ending::Revoked),
            Action::Record { request, patient, author, measurements } => {
                let audit = self.write_record(shard, &patient);
                let recording = Recording { patient, author, measurements, idempotency: None, audit };
                self.record(shard, request, recording);
            }
            Action::Denied { action, patient, decision } => {
                self.record_denied(shard, action, &patient, decision);
            }
            Action::LoadPresence(request, topic) => self.load_presence(shard, request, topic),
            Action::LoadHistory(request, query) => self.load_history(shard, request, query),
            Action::Broadcast { event, topic, kind } => {
                if let Err(refused) = self.must_open(shard, WRITE, "waveforms", topic.id()) {
                    let error = ServerMessage::Error(Error {
                        code: refused.code,
                        message: refused.message,
                        field: None,
                        retry: false,
                    });
                    return self.send(shard, &Envelope::new(shard.app().clock.now(), error));
                }
                shard.broadcast(Broadcast::new(topic, kind, &event.to_text()));
            }
            Action::ReviewDelivery(topic) => self.review_delivery(shard, topic),
            Action::Redeliver { topic, after } => {
                shard.app().metrics.redeliveries.inc();
                shard.hub.borrow_mut().rewind(self.key, &topic, after);
            }
            Action::DeliveryFailed { after, to, .. } => {
                shard.app().metrics.deliveries_failed.inc();
                tracing::warn!(connection.id = %self.id, %after, %to, "events stayed unacknowledged");
            }
            Action::Keep(lost) => shard.app().node.lost.keep(*lost),
            Action::SendPing => shard.hub.borrow_mut().send(self.key, Frame::ping(b"")),
            Action::SendHeartbeat => self.send_heartbeat(shard),
            Action::Close(code, reason) => self.close(shard, code, reason),
        }
    }

    pub(super) fn send(&self, shard: &Shard, envelope: &Envelope) {
        let metrics = &shard.app().metrics;
        match &envelope.message {
            ServerMessage::Error(error) => {
                metrics.errors.of(error.code).inc();
            }
            ServerMessage::SubscriptionDenied(denied) => {
                metrics.errors.of(denied.code).inc();
            }
            ServerMessage::AuthenticationFailed(failed) => {
                metrics.errors.of(failed.code).inc();
            }
            ServerMessage::SubscriptionSuccess(success) => {
                if let Some(resumed) = success.resumed {
                    let gap = resumed == Resumed::Gap;
                    metrics.resumes.of(if gap { ResumeResult::Gap } else { ResumeResult::Complete }).inc();
                }
            }
            _ => {}
        }
        shard.hub.borrow_mut().send(self.key, Frame::text(&envelope.to_text()));
    }

    fn send_heartbeat(&self, shard: &Shard) {
        let session = self.session.borrow();
        // Who hears the newest values only has nothing to compare a head with.
        let hub = shard.hub.borrow();
        let heads = hub.heads(self.key).filter(|(topic, _)| session.hears_all(topic));
        let heads = heads.map(|(topic, head)| (topic.to_string(), head)).collect();
        drop(hub);
        let heartbeat = Heartbeat { epoch: shard.app().store.epoch(), heads };
        self.send(shard, &Envelope::new(shard.app().clock.now(), ServerMessage::Heartbeat(heartbeat)));
    }

    /// Tells the session how far the topic was delivered.
    fn review_delivery(self: &Rc<Self>, shard: &Rc<Shard>, topic: Topic) {
        let position = shard.hub.borrow().delivered(self.key, &topic).filter(|_| self.is_flushed());
        let [a, b, c, d, ..] = shard.app().clock.random();
        let chance = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
        self.drive(shard, Input::DeliveryReviewed { topic, position, chance });
    }

    /// Waits for `work` beside the connection, in its `span`, and gives its answer to the session.
    pub(super) fn later<T: 'static>(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        span: Span,
        work: impl Future<Output = T> + 'static,
        answer: impl FnOnce(T) -> Input<'static> + 'static,
    ) {
        let (connection, shard) = (Rc::clone(self), Rc::clone(shard));
        spawn_local(async move {
            let input = answer(work.instrument(span).await);
            connection.drive(&shard, input);
        });
    }

    fn authenticate(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        request: RequestId,
        token: &str,
        session_id: Option<SessionId>,
    ) {
        let refused = |error: TokenError| Refused::new(error.code(), error.to_string());
        let (app, now) = (Arc::clone(shard.app()), shard.now());
        let known = match known_grant(&app, token, now.instant).transpose() {
            Ok(known) => known,
            Err(error) => {
                self.record_sign_in_denied(shard, error);
                return self.drive(shard, Input::Identified(request, Err(refused(error))));
            }
        };
        if session_id.is_none()
            && let Some(granted) = &known
            && let Some(user) = app.people.user(&granted.claims.user, now.instant)
            && granted.claims.agrees_with(&user)
        {
            let identity = self.enter(shard, user, granted, None);
            return self.drive(shard, Input::Identified(request, identity));
        }
        let (connection, on) = (Rc::clone(self), Rc::clone(shard));
        // Kept for as long as somebody must be asked about it; otherwise all that counts has been read.
        let token = known.is_none().then(|| token.to_owned());
        let work = async move {
            let find = async || {
                let granted = match (&known, &token) {
                    (Some(granted), _) => granted.clone(),
                    (None, token) => {
                        grant(&app, token.as_deref().unwrap_or_default(), on.now().instant).await?
                    }
                };
                let claims = &granted.claims;
                let found = app.people.find_user(&*app.store, &claims.user, on.now().instant).await;
                let user = user_of(&app, claims, found, Some(connection.client)).await?;
                Ok((granted, user))
            };
            let refused = |error: TokenError| {
                connection.record_sign_in_denied(&on, error);
                refused(error)
            };
            let (granted, user) = on.undisturbed(find).await.map_err(refused)?;
            if let Some(session_id) = &session_id {
                take_over(&on, &user.id, session_id).await;
            }
            connection.enter(&on, user, &granted, session_id)
        };
        let span = debug_span!("authenticate", connection.id = %self.id);
        self.later(shard, span, work, move |result| Input::Identified(request, result));
    }

    /// Counts the connection as one of the user's, if it counts as nobody's yet: says whether it did not.
    pub(super) fn admit(&self, shard: &Shard, user: &UserId) -> Result<bool, Refused> {
        if self.ended.get() {
            return Err(Refused::new(ErrorCode::NotAuthenticated, "the connection has ended"));
        }
        if self.admitted.get().is_some() {
            return Ok(false);
        }
        let session_id = self.session.borrow().session_id().clone();
        let entry =
            Entry { id: self.id.clone(), session_id, key: self.key, shard: Arc::clone(&shard.handle) };
        let admitted = shard.ground.registry.admit(user, entry);
        admitted.map_err(|error| {
            shard.app().metrics.connections_refused.of(RefusalReason::UserFull).inc();
            Refused::new(ErrorCode::TooManyConnections, error.to_string())
        })?;
        // Nobody else has: it was looked at above.
        let _ = self.admitted.set(user.clone());
        shard.app().presence.connected(user, shard.app().clock.now());
        Ok(true)
    }

    pub(super) fn open_topic(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        request: RequestId,
        topic: Topic,
        has: Option<Offset>,
    ) {
        if let Some(granted) = self.known_topic(shard, &topic, has) {
            return self.open_on_record(shard, (request, topic, has), granted);
        }
        let (connection, shard) = (Rc::clone(self), Rc::clone(shard));
        let span = debug_span!("subscribe", connection.id = %self.id);
        spawn_local(async move {
            match connection.grant(&shard, &topic, has).instrument(span).await {
                Ok(granted) => connection.open_on_record(&shard, (request, topic, has), granted),
                Err(refused) => connection.drive(&shard, Input::TopicOpened(request, Err(refused))),
            }
        });
    }

    /// Refuses, where the connection came in with an API token that does not open this.
    pub(super) fn check_scope(&self, action: Act) -> Result<(), Refused> {
        let credential = self.credential.borrow();
        match credential.as_ref().and_then(Credential::scopes) {
            Some(scopes) if !scopes.opens(action) => Err(Refused::new(ErrorCode::AccessDenied, NOT_OPENED)),
            _ => Ok(()),
        }
    }

    /// Asks the store how far the topic's log reaches, and whether the connection's user may hear it.
    async fn grant(&self, shard: &Shard, topic: &Topic, has: Option<Offset>) -> Result<Granted, Refused> {
        let app = shard.app();
        let range = app.heads.read(&*app.store, topic, has.unwrap_or(Offset::START)).await;
        let range = range.map_err(|error| storage_refusal(&error))?;
        // Last, so that nothing is waited for between the decision and its record.
        let (name, action) = (topic.to_string(), (Act::hearing(topic.kind()), AuditAction::Subscribe));
        let decide = async || self.check_recorded(shard, action, &name, topic.id(), "topic").await;
        let access = shard.undisturbed(decide).await?;
        let (epoch, until) = (app.store.epoch(), access.until());
        let opened = OpenedTopic { epoch, oldest: range.oldest, head: range.head, until };
        Ok(Granted { opened, access })
    }

    fn record(self: &Rc<Self>, shard: &Rc<Shard>, request: RequestId, recording: Recording) {
        if let Err(refused) = self.must_open(shard, WRITE, "measurements", &recording.patient) {
            return self.drive(shard, Input::Recorded(request, Err(refused)));
        }
        let (connection, on) = (Rc::clone(self), Rc::clone(shard));
        let (measurements, audits) = (recording.measurements.len(), recording.audit.is_some());
        let span = debug_span!("health_update", connection.id = %self.id, measurements);
        let work = async move {
            let receipts: Vec<MeasurementReceipt> =
                on.record(recording).await.map_err(|error| storage_refusal(&error))?;
            on.app().metrics.count_receipts(&receipts);
            if audits {
                connection.write_recorded.set(true);
            }
            Ok(receipts)
        };
        self.later(shard, span, work, move |result| Input::Recorded(request, result));
    }

    fn load_history(self: &Rc<Self>, shard: &Rc<Shard>, request: RequestId, query: HistoryQuery) {
        let (connection, on) = (Rc::clone(self), Rc::clone(shard));
        // A page that access was taken back from while it was read is not sent.
        let work = async move { on.undisturbed(async || connection.page(&on, query.clone()).await).await };
        let span = debug_span!("get_health_data", connection.id = %self.id);
        self.later(shard, span, work, move |result| Input::HistoryLoaded(request, result));
    }

    /// A page of history, for a user who may read it.
    async fn page(&self, shard: &Shard, query: HistoryQuery) -> Result<Found, Refused> {
        let (object, action) = (history_object(query.metric), (Act::ReadMeasurements, AuditAction::Read));
        let access = self.check_recorded(shard, action, &object, &query.patient, "patient").await?;
        let after = query.cursor.as_deref().map(str::parse).transpose();
        let after = after.map_err(|error: healthmate_storage::CursorError| {
            Refused::field(ErrorCode::InvalidField, "cursor", error.to_string())
        })?;
        let HistoryQuery { patient, metric, from, to, limit, .. } = query;
        let query = MeasurementQuery { patient: patient.clone(), metric, from, to, limit, after };
        let page = shard.app().store.measurements(query).await.map_err(|error| storage_refusal(&error))?;
        self.record_read(shard, &object, &patient, access).await?;
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        Ok(Found { measurements: page.measurements, next_cursor })
    }
}
