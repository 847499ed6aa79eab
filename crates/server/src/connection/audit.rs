//! What a connection does that is recorded: that it is somebody's, what it hears, reads and writes, and what it is refused.

use std::rc::Rc;

use healthmate_care::access::Until;
use healthmate_care::{Action as Act, AuditAction, AuditRecord, By, Decision, User};
use healthmate_protocol::{CloseCode, ErrorCode, Offset, Topic, UserId};
use healthmate_session::{Input, OpenedTopic, Refused, RequestId};
use uuid::Uuid;

use super::Connection;
use crate::app::App;
use crate::auth::access::{self, Access};
use crate::auth::{TOKEN_SCOPE, TokenError};
use crate::refusal::storage_refusal;
use crate::shard::Shard;

/// A topic that is about to be opened, once that is on record.
pub(super) struct Granted {
    pub(super) opened: OpenedTopic,
    pub(super) access: Access,
}

impl Connection {
    /// The connection's user as the one who acts, now; `None` while there is none.
    pub(super) fn by(&self, app: &App) -> Option<By> {
        let session = self.session.borrow();
        Some(By::user(session.user()?, Some(self.client), app.clock.now()))
    }

    /// Records that the connection is `user`'s. Nothing is written to it before that is on disk: the answer to its token and
    /// to what it asks for at once go together. A connection that is not on record does not last.
    pub(super) fn record_connect(self: &Rc<Self>, shard: &Shard, user: &User) {
        let by = By::user(user, Some(self.client), shard.app().clock.now());
        let connection = Rc::clone(self);
        shard.hub.borrow_mut().pause(self.key);
        shard.audit(AuditRecord::connected(by, &self.id), move |shard, stands| {
            shard.hub.borrow_mut().go_on(connection.key);
            shard.wake();
            if stands.is_err() {
                connection.dismiss(shard, CloseCode::TryAgainLater);
            }
        });
    }

    /// Records that the connection did not become `user`'s, though the token is good: why, in a stable word.
    pub(super) fn record_connect_denied(&self, shard: &Shard, user: &User, why: &'static str) {
        let by = By::user(user, Some(self.client), shard.app().clock.now());
        shard.record_refusal(AuditRecord::connect_denied(by, &self.id, why));
    }

    /// Records that a token was refused.
    pub(super) fn record_sign_in_denied(&self, shard: &Shard, error: TokenError) {
        if !error.code().retry() {
            let by = By::anonymous(Some(self.client), shard.app().clock.now());
            shard.record_refusal(AuditRecord::sign_in_denied(by, error.code().as_str()));
        }
    }

    /// Records what the session refused by itself.
    pub(super) fn record_denied(&self, shard: &Shard, action: Act, patient: &UserId, decision: Decision) {
        let action = match action {
            Act::WriteMeasurements => AuditAction::Write,
            _ => AuditAction::Read,
        };
        if let Some(by) = self.by(shard.app()) {
            let record = AuditRecord::decided(by, action, "measurements".to_owned(), patient, decision);
            shard.record_refusal(record);
        }
    }

    /// The record of a write, until one is on disk.
    pub(super) fn write_record(&self, shard: &Shard, patient: &UserId) -> Option<Box<AuditRecord>> {
        if self.write_recorded.get() {
            return None;
        }
        let record = AuditRecord::new(self.by(shard.app())?, AuditAction::Write);
        Some(Box::new(record.object("measurements").patient(patient)))
    }

    /// What the policy says about what is wanted of the patient's data. A refusal is recorded as one of `action` on
    /// `object`; what is allowed is for the caller to record.
    pub(super) async fn check_recorded(
        &self,
        shard: &Shard,
        (wanted, action): (Act, AuditAction),
        object: &str,
        patient: &UserId,
        field: &str,
    ) -> Result<Access, Refused> {
        self.must_open(shard, (wanted, action), object, patient)?;
        let access = self.decide(shard.app(), wanted, patient).await?;
        if access.decision.is_allowed() {
            return Ok(access);
        }
        if let Some(by) = self.by(shard.app()) {
            let record = access.record(by, action, object, patient);
            shard.record_refusal(record);
        }
        Err(Refused::access(access.decision.reason(), field))
    }

    /// Refuses, where the connection came in with an API token that does not open this. A refusal is recorded.
    pub(super) fn must_open(
        &self,
        shard: &Shard,
        (wanted, action): (Act, AuditAction),
        object: &str,
        patient: &UserId,
    ) -> Result<(), Refused> {
        self.check_scope(wanted).inspect_err(|_| {
            if let Some(by) = self.by(shard.app()) {
                let record = AuditRecord::not_opened(by, action, object, TOKEN_SCOPE).patient(patient);
                shard.record_refusal(record);
            }
        })
    }

    /// What the policy says about the connection's user doing this with the patient's data.
    pub(super) async fn decide(&self, app: &App, action: Act, patient: &UserId) -> Result<Access, Refused> {
        self.check_scope(action)?;
        let user = self.session.borrow().user().cloned();
        let user = user.ok_or_else(ended)?;
        access::may(app, &user, action, patient).await.map_err(|error| storage_refusal(&error))
    }

    /// Records that the user reads, and waits until that is on disk.
    pub(super) async fn record_read(
        &self,
        shard: &Shard,
        object: &str,
        patient: &UserId,
        access: Access,
    ) -> Result<(), Refused> {
        let by = self.by(shard.app()).ok_or_else(ended)?;
        let record = access.record(by, AuditAction::Read, object, patient);
        shard.audited(record).await.map_err(|error| storage_refusal(&error))
    }

    /// Opens the topic once it is on record that the user hears it. It is decided again if users
    /// or care teams have changed meanwhile.
    pub(super) fn open_on_record(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        (request, topic, has): (RequestId, Topic, Option<Offset>),
        Granted { opened, access }: Granted,
    ) {
        let Some(by) = self.by(shard.app()) else { return };
        let rechecks = shard.rechecks.get();
        let record = access.record(by, AuditAction::Subscribe, topic.to_string(), topic.id());
        let connection = Rc::clone(self);
        shard.audit(record, move |shard, stands| {
            if let Err(error) = stands {
                return connection.drive(shard, Input::TopicOpened(request, Err(storage_refusal(error))));
            }
            if shard.rechecks.get() != rechecks {
                return connection.open_topic(shard, request, topic, has);
            }
            connection.recorded_emergency(topic, access.emergency());
            // From where it was asked for: what was committed meanwhile comes from the log.
            connection.drive(shard, Input::TopicOpened(request, Ok(opened)));
        });
    }

    /// Refuses, unless the connection's user still hears the topic; says until when, where that is known. Where an emergency
    /// access carries it from now on, that is on record first.
    pub(super) async fn still_hears(&self, shard: &Shard, topic: &Topic) -> Result<Option<Until>, Refused> {
        let access = self.decide(shard.app(), Act::hearing(topic.kind()), topic.id()).await?;
        if !access.decision.is_allowed() {
            return Err(Refused::access(access.decision.reason(), "topic"));
        }
        let is_new = |id: &Uuid| !self.emergencies.borrow().contains(&(topic.clone(), *id));
        if access.emergency().as_ref().is_some_and(is_new) {
            let by = self.by(shard.app()).ok_or_else(ended)?;
            let record = access.record(by, AuditAction::Subscribe, topic.to_string(), topic.id());
            shard.audited(record).await.map_err(|error| storage_refusal(&error))?;
            self.recorded_emergency(topic.clone(), access.emergency());
        }
        Ok(access.until())
    }

    /// Keeps in mind that it is on record under which emergency the topic is heard.
    fn recorded_emergency(&self, topic: Topic, id: Option<Uuid>) {
        let mut recorded = self.emergencies.borrow_mut();
        if let Some(heard) = id.map(|id| (topic, id)).filter(|heard| !recorded.contains(heard)) {
            recorded.push(heard);
        }
    }
}

fn ended() -> Refused {
    Refused::new(ErrorCode::NotAuthenticated, "the connection has ended")
}
