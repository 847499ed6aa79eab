//! Sending again what stays unacknowledged.
//!
//! Deliveries are looked at from time to time, not one by one: what was on its way at one look and is still not
//! acknowledged at the next is sent again, from the log. So an unacknowledged delivery costs no memory.

use std::time::Instant;

use healthmate_protocol::client::Acknowledge;
use healthmate_protocol::{CorrelationId, ErrorCode, Offset, Topic};

use super::on_command::{denied, not_subscribed};
use super::{Active, Held};
use crate::action::Action;
use crate::history::Fault;
use crate::input::{Now, Refused};
use crate::options::{Options, Redelivery};
use crate::session::Context;

/// Where a subscription stands whose events must be acknowledged.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    /// When its delivery is looked at next.
    pub(super) next_review: Instant,
    /// What was acknowledged at the last look.
    acknowledged: Offset,
    /// What had been delivered at the last look: it is overdue at the next.
    delivered: Offset,
    /// How often it was sent again without any progress.
    attempts: u32,
}

impl Unacknowledged {
    pub(super) fn new(after: Offset, options: &Redelivery, now: Now) -> Self {
        let next_review = now.instant + options.after;
        Self { next_review, acknowledged: after, delivered: after, attempts: 0 }
    }

    /// Whether what was on its way at the last look is overdue, with no progress since.
    fn is_overdue(&self, acknowledged: Offset) -> bool {
        acknowledged <= self.acknowledged && acknowledged < self.delivered
    }
}

impl Active {
    pub(super) fn on_acknowledge(
        &mut self,
        now: Now,
        correlation_id: Option<CorrelationId>,
        command: &Acknowledge,
        actions: &mut Vec<Action>,
    ) {
        match self.topics.iter_mut().find(|held| held.topic == command.topic) {
            Some(held) if held.interest.delivery.is_durable() => {
                held.since.offset = held.since.offset.max(command.offset);
            }
            _ => actions.push(not_subscribed(now, correlation_id, &command.topic.to_string())),
        }
    }

    /// Asks how far delivery has come, where it is time to look.
    pub(super) fn review(&mut self, options: &Options, now: Now, actions: &mut Vec<Action>) {
        for held in &mut self.topics {
            if let Some(standing) = &mut held.unacknowledged
                && standing.next_review <= now.instant
            {
                standing.next_review = now.instant + options.redelivery.after;
                actions.push(Action::ReviewDelivery(held.topic.clone()));
            }
        }
    }

    /// Looks at what was delivered up to `position`; `None` if some of it has not left the server yet, so that
    /// nobody can be late.
    pub(super) fn on_reviewed(
        &mut self,
        context: &Context,
        now: Now,
        topic: &Topic,
        position: Option<Offset>,
        chance: f64,
        actions: &mut Vec<Action>,
    ) {
        let options = &context.options.redelivery;
        let Some(index) = self.topics.iter().position(|held| held.topic == *topic) else { return };
        let Held { since, unacknowledged: Some(standing), .. } = &mut self.topics[index] else { return };
        let Some(position) = position else { return };
        // One cannot have dealt with what was never sent.
        since.offset = since.offset.min(position);
        let overdue = standing.is_overdue(since.offset);
        (standing.acknowledged, standing.delivered) = (since.offset, position);
        if !overdue {
            standing.attempts = 0;
        } else if standing.attempts < options.attempts {
            let wait = options.backoff.wait(standing.attempts, chance);
            standing.attempts += 1;
            standing.next_review = now.instant + options.after + wait;
            let history = self.history.get_or_insert_default();
            history.retry_count = history.retry_count.saturating_add(1);
            let after = since.offset;
            actions.push(Action::Redeliver { topic: topic.clone(), after });
        } else {
            self.give_up(now, index, position, actions);
        }
        self.set_deadline(&context.options, now);
    }

    /// Ends a delivery that nobody acknowledges.
    fn give_up(&mut self, now: Now, index: usize, to: Offset, actions: &mut Vec<Action>) {
        let Held { topic, since, unacknowledged, .. } = self.topics.remove(index);
        let times = unacknowledged.map_or(0, |standing| standing.attempts) + 1;
        let message =
            format!("events after {} were sent {times} times and stayed unacknowledged", since.offset);
        self.note(now, Fault::NotAcknowledged);
        let named = topic.to_string();
        actions.push(Action::StopDelivery(topic.clone()));
        actions.push(Action::DeliveryFailed { topic, after: since.offset, to });
        actions.push(denied(now, None, named, Refused::new(ErrorCode::NotAcknowledged, message)));
    }
}
