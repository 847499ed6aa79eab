//! What time brings: heartbeats, pings, the idle limit, the end of the token.

use std::time::Duration;

use healthmate_protocol::{CloseCode, ErrorCode, ServerMessage, server};

use super::Active;
use crate::action::Action;
use crate::input::Now;
use crate::options::Options;
use crate::reply::reply;
use crate::session::Context;

impl Active {
    pub(super) fn on_tick(&mut self, context: &Context, now: Now, actions: &mut Vec<Action>) {
        let options = &context.options;
        if now.time >= self.expires_at {
            let code = ErrorCode::TokenExpired;
            let message = "the token has ended: connect again with a fresh one".to_owned();
            let failed = server::AuthenticationFailed { code, message, retry: code.retry() };
            actions.push(reply(now, None, ServerMessage::AuthenticationFailed(failed)));
            actions.push(Action::Close(CloseCode::AuthenticationFailed, "the token has ended"));
            return;
        }
        if now.instant >= self.last_message + options.idle_timeout {
            let reason = "nothing came for longer than the idle limit";
            return actions.push(Action::Close(CloseCode::IdleTimeout, reason));
        }
        if now.instant >= self.last_received + options.gone_after {
            return actions.push(Action::Close(CloseCode::Unresponsive, "no answer to a ping"));
        }
        if !self.pinged && now.instant >= self.last_received + options.ping_after {
            self.pinged = true;
            actions.push(Action::SendPing);
        }
        if now.instant >= self.next_heartbeat {
            self.next_heartbeat = now.instant + options.heartbeat_interval;
            actions.push(Action::SendHeartbeat);
        }
        self.set_deadline(options, now);
    }

    pub(super) fn set_deadline(&mut self, options: &Options, now: Now) {
        let left = u64::try_from(self.expires_at.millis_since(now.time)).unwrap_or(0);
        // Rounded up, so that the tick does not come a fraction of a millisecond too soon.
        let token_end = now.instant + Duration::from_millis(left + 1).min(Duration::from_hours(24));
        let silence = if self.pinged { options.gone_after } else { options.ping_after };
        let idle = self.last_message + options.idle_timeout;
        self.deadline = self.next_heartbeat.min(self.last_received + silence).min(idle).min(token_end);
    }
}
