//! A connection that fails, and a session that goes on over another one.

use std::collections::BTreeMap;

use healthmate_protocol::Offset;

use super::on_command::{denied, served};
use super::{Active, Held, Opening, Pending, Wanted};
use crate::action::{Action, Since};
use crate::history::Fault;
use crate::input::Now;
use crate::lost::{Lost, LostTopic};
use crate::session::Context;

impl Active {
    /// What is kept of the session. Requests that wait for an answer are not: their client will ask again.
    pub(crate) fn lose(&mut self, context: &Context, now: Now, fault: Fault) -> Action {
        let mut history = self.history.take().map(|history| *history).unwrap_or_default();
        (history.last_error, history.recovery_attempts) = (Some((now.time, fault)), 0);
        let standing = self.topics.drain(..).map(|held| {
            let Held { topic, interest, since, unacknowledged, .. } = held;
            LostTopic { topic, interest, acknowledge: unacknowledged.is_some(), since }
        });
        let mut topics: Vec<LostTopic> = standing.collect();
        topics.extend(self.pending.drain(..).filter_map(|pending| returning(pending.wanted)));
        topics.shrink_to_fit();
        let quiet = now.instant.saturating_duration_since(self.last_received);
        let quiet_ms = i64::try_from(quiet.as_millis()).unwrap_or(i64::MAX);
        Action::Keep(Box::new(Lost {
            session_id: context.session_id.clone(),
            connection_id: context.connection_id.clone(),
            user: self.user.clone(),
            endpoint: context.endpoint,
            lost_at: now.time,
            last_activity: now.time.plus_millis(-quiet_ms),
            topics,
            history,
        }))
    }

    /// Opens the topics of a session again: each is answered like a subscription, its access decided anew.
    pub(super) fn go_on(
        &mut self,
        lost: Lost,
        offsets: &BTreeMap<String, Offset>,
        context: &mut Context,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.history = Some(Box::new(lost.history));
        for LostTopic { topic, interest, acknowledge, since } in lost.topics {
            if let Err(refused) = served(context, topic.kind()) {
                actions.push(denied(now, None, topic.to_string(), refused));
                continue;
            }
            let offset = offsets.get(&topic.to_string()).copied().unwrap_or(since.offset);
            let since = Some(Since { epoch: since.epoch, offset });
            let request = context.next_request();
            actions.push(Action::OpenTopic(request, topic.clone(), Some(offset)));
            let (cancelled, returning) = (None, true);
            let opening = Opening { topic, interest, since, acknowledge, cancelled, returning };
            self.pending.push(Pending { request, correlation_id: None, wanted: Wanted::Topic(opening) });
        }
    }
}

/// A topic that was being opened again when the connection failed once more.
fn returning(wanted: Wanted) -> Option<LostTopic> {
    match wanted {
        Wanted::Topic(Opening {
            topic,
            interest,
            since: Some(since),
            acknowledge,
            cancelled: None,
            returning: true,
        }) => Some(LostTopic { topic, interest, acknowledge, since }),
        _ => None,
    }
}
