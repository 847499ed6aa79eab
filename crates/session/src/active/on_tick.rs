//! What time brings: heartbeats, pings, the idle limit, the end of access and of the token.

use std::time::Duration;

use healthmate_care::access::Until;
use healthmate_protocol::server::TokenExpiring;
use healthmate_protocol::{CloseCode, ErrorCode, ServerMessage, Timestamp};

use super::on_command::denied;
use super::{Active, Held, NEVER};
use crate::action::Action;
use crate::door::turn_away;
use crate::history::Fault;
use crate::input::{Now, Refused};
use crate::options::Options;
use crate::reply::reply;
use crate::session::Context;

impl Active {
    pub(super) fn on_tick(&mut self, context: &Context, now: Now, actions: &mut Vec<Action>) {
        let options = &context.options;
        if now.time >= self.token_end(options) {
            let message = "the token has ended: connect again with a fresh one";
            let [told, _] = turn_away(now, None, Refused::new(ErrorCode::TokenExpired, message));
            return actions.extend([told, Action::Close(CloseCode::TokenEnded, "the token has ended")]);
        }
        if now.instant >= self.last_message + options.idle_timeout {
            let reason = "nothing came for longer than the idle limit";
            return actions.push(Action::Close(CloseCode::IdleTimeout, reason));
        }
        if now.instant >= self.last_received + options.gone_after {
            actions.push(self.lose(context, now, Fault::Unresponsive));
            return actions.push(Action::Close(CloseCode::Unresponsive, "no answer to a ping"));
        }
        if !self.pinged && now.instant >= self.last_received + options.ping_after {
            self.pinged = true;
            actions.push(Action::SendPing);
        }
        self.warn(now, actions);
        self.end_access(now, actions);
        self.review(options, now, actions);
        if now.instant >= self.next_heartbeat {
            self.next_heartbeat = now.instant + options.heartbeat_interval;
            actions.push(Action::SendHeartbeat);
        }
        self.set_deadline(options, now);
    }

    /// When the connection ends for want of a fresh token.
    fn token_end(&self, options: &Options) -> Timestamp {
        let longer = options.token_leeway + options.expiry_grace;
        self.expires_at.plus_millis(i64::try_from(longer.as_millis()).unwrap_or(i64::MAX))
    }

    /// Tells the client, once for each token, that it ends soon.
    fn warn(&mut self, now: Now, actions: &mut Vec<Action>) {
        if now.time < self.warn_at {
            return;
        }
        self.warn_at = NEVER;
        let expires_at = self.expires_at;
        let seconds = u32::try_from(expires_at.millis_since(now.time) / 1000).unwrap_or(0);
        actions.push(reply(now, None, ServerMessage::TokenExpiring(TokenExpiring { expires_at, seconds })));
    }

    /// Ends the delivery of topics that the user may no longer hear.
    fn end_access(&mut self, now: Now, actions: &mut Vec<Action>) {
        let over = |held: &Held| held.until.filter(|until| until.at <= now.time);
        while let Some((index, Until { then, .. })) =
            self.topics.iter().enumerate().find_map(|(index, held)| Some((index, over(held)?)))
        {
            let Held { topic, .. } = self.topics.remove(index);
            let named = topic.to_string();
            actions.push(Action::RevokeDelivery(topic));
            let refused = Refused::access(then, "topic");
            actions.push(denied(now, None, named, refused));
        }
    }

    pub(super) fn set_deadline(&mut self, options: &Options, now: Now) {
        let ends = self.topics.iter().filter_map(|held| Some(held.until?.at));
        let end = ends.chain([self.warn_at, self.token_end(options)]).min().unwrap_or(self.expires_at);
        let left = u64::try_from(end.millis_since(now.time)).unwrap_or(0);
        // Rounded up, so that the tick does not come a fraction of a millisecond too soon; and looked at again within
        // a day, should the clock be set.
        let end = now.instant + Duration::from_millis(left + 1).min(Duration::from_secs(86_400));
        let silence = if self.pinged { options.gone_after } else { options.ping_after };
        let idle = self.last_message + options.idle_timeout;
        let deadline = self.next_heartbeat.min(self.last_received + silence).min(idle).min(end);
        let reviews = self.topics.iter().filter_map(|held| Some(held.unacknowledged.as_ref()?.next_review));
        self.deadline = reviews.min().map_or(deadline, |review| review.min(deadline));
    }
}
