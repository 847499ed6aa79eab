//! What the server answers.

use healthmate_protocol::server::{Acknowledgment, HealthDataResponse, MeasurementReceipt, PresenceResponse};
use healthmate_protocol::{ErrorCode, ServerMessage};

use super::on_command::{denied, not_subscribed, unsubscribed};
use super::redelivery::Unacknowledged;
use super::{Active, Cancelled, Held, Opening, Pending, Wanted, warn_at};
use crate::action::{Action, RequestId, Since};
use crate::door::welcome;
use crate::input::{Found, Identity, Now, OpenedTopic, Refused};
use crate::reply::{error, reply};
use crate::resume::{Resume, resume};
use crate::session::Context;

impl Active {
    pub(super) fn on_identified(
        &mut self,
        context: &Context,
        now: Now,
        request: RequestId,
        result: Result<Identity, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { correlation_id, .. }) = self.answered(request) else {
            return;
        };
        match result {
            Ok(identity) if identity.user.id == self.user.id => {
                actions.push(reply(now, correlation_id, welcome(context, &identity, None)));
                self.user = identity.user;
                self.expires_at = identity.expires_at;
                self.warn_at = warn_at(self.expires_at, &context.options, now);
                self.set_deadline(&context.options, now);
            }
            Ok(_) => {
                let refused =
                    Refused::new(ErrorCode::AlreadyAuthenticated, "this connection belongs to another user");
                actions.push(error(now, correlation_id, refused));
            }
            Err(refused) => actions.push(error(now, correlation_id, refused)),
        }
    }

    pub(super) fn on_topic_opened(
        &mut self,
        context: &Context,
        now: Now,
        request: RequestId,
        result: Result<OpenedTopic, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { correlation_id, wanted: Wanted::Topic(opening), .. }) = self.answered(request)
        else {
            return;
        };
        let Opening { topic, interest, since, acknowledge, cancelled, .. } = opening;
        let log = match result {
            Ok(log) => log,
            Err(refused) => {
                actions.push(denied(now, correlation_id, topic.to_string(), refused));
                if let Some(Cancelled(correlation_id)) = cancelled {
                    actions.push(not_subscribed(now, correlation_id, &topic.to_string()));
                }
                return;
            }
        };
        let Resume { reply: mut started, after } =
            resume(&topic, &log, since.as_ref().filter(|_| interest.delivery.is_durable()));
        started.delivery = interest.delivery;
        actions.push(reply(now, correlation_id, ServerMessage::SubscriptionSuccess(started)));
        if let Some(Cancelled(correlation_id)) = cancelled {
            return actions.push(unsubscribed(now, correlation_id, topic));
        }
        self.topics.retain(|held| held.topic != topic);
        if self.topics.len() == self.topics.capacity() {
            // Few hear many topics, and many hear few: no room is kept for more than one.
            self.topics.reserve_exact(2);
        }
        let unacknowledged =
            acknowledge.then(|| Box::new(Unacknowledged::new(after, &context.options.redelivery, now)));
        let since = Since { epoch: log.epoch, offset: after };
        self.topics.push(Held { topic: topic.clone(), interest, until: log.until, since, unacknowledged });
        self.set_deadline(&context.options, now);
        actions.push(Action::StartDelivery { topic, interest, after, head: log.head });
    }

    pub(super) fn on_recorded(
        &mut self,
        now: Now,
        request: RequestId,
        result: Result<Vec<MeasurementReceipt>, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { correlation_id, wanted: Wanted::Receipts { patient }, .. }) =
            self.answered(request)
        else {
            return;
        };
        actions.push(match result {
            Ok(results) => {
                let stored = ServerMessage::Acknowledgment(Acknowledgment { patient, results });
                reply(now, correlation_id, stored)
            }
            Err(refused) => error(now, correlation_id, refused),
        });
    }

    pub(super) fn on_presence(
        &mut self,
        now: Now,
        request: RequestId,
        result: Result<PresenceResponse, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { correlation_id, wanted: Wanted::Presence, .. }) = self.answered(request) else {
            return;
        };
        actions.push(match result {
            Ok(present) => reply(now, correlation_id, ServerMessage::PresenceResponse(present)),
            Err(refused) => error(now, correlation_id, refused),
        });
    }

    pub(super) fn on_history(
        &mut self,
        now: Now,
        request: RequestId,
        result: Result<Found, Refused>,
        actions: &mut Vec<Action>,
    ) {
        let Some(Pending { correlation_id, wanted: Wanted::History { patient }, .. }) =
            self.answered(request)
        else {
            return;
        };
        actions.push(match result {
            Ok(Found { measurements, next_cursor }) => {
                let page = HealthDataResponse { patient, measurements, next_cursor };
                reply(now, correlation_id, ServerMessage::HealthDataResponse(page))
            }
            Err(refused) => error(now, correlation_id, refused),
        });
    }
}
