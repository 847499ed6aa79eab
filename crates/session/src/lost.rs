//! Sessions whose transport failed: kept for a while, so that their clients can go on where they stopped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use healthmate_care::User;
use healthmate_protocol::{ConnectionId, Interest, SessionId, SubscribeSince, Timestamp, Topic, UserId};

use crate::history::History;
use crate::options::Endpoint;

/// A session in `error`: its connection is gone, and its client may come back to it. What it holds is what it
/// subscribed to and how far each delivery was dealt with; the events themselves wait in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// What the client names to come back.
    pub session_id: SessionId,
    /// The connection that was lost.
    pub connection_id: ConnectionId,
    /// Whose it is; to be looked up again before the session goes on.
    pub user: Arc<User>,
    /// Which socket it was on.
    pub endpoint: Endpoint,
    /// When it was lost.
    pub lost_at: Timestamp,
    /// When anything came from the client last.
    pub last_activity: Timestamp,
    /// What it subscribed to.
    pub topics: Vec<LostTopic>,
    /// What has gone wrong with it.
    pub history: History,
}

/// A subscription of a lost session.
#[derive(Clone, Debug, PartialEq)]
pub struct LostTopic {
    /// What it hears.
    pub topic: Topic,
    /// What it is sent.
    pub interest: Interest,
    /// Whether its events must be acknowledged.
    pub acknowledge: bool,
    /// What the client surely has: what it acknowledged last, or where the subscription began.
    pub since: SubscribeSince,
}

impl Lost {
    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let text = |topic: &LostTopic| topic.topic.id().as_str().len();
        let topics = self.topics.iter().map(|topic| size_of::<LostTopic>() + text(topic));
        size_of::<Kept>() + topics.sum::<usize>()
    }
}

/// What lost sessions are held to.
#[derive(Clone, Copy, Debug)]
pub struct LostOptions {
    /// For how long a session is kept; not at all if zero. Default 2 min.
    pub window: Duration,
    /// How much memory all of them may take, in bytes; past it, the oldest go. Default 16 MiB.
    pub bytes: usize,
    /// How many attempts at recovery a session outlives. Default 5.
    pub recovery_attempts: u32,
}

/// Every session of this node that is in `error`.
#[derive(Debug)]
pub struct LostSessions {
    options: LostOptions,
    sessions: HashMap<SessionId, Kept>,
    /// In the order of their ends. One that was kept for longer since, or has gone on, is passed over.
    ends: VecDeque<(Instant, SessionId)>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    lost: Lost,
    until: Instant,
}

impl LostSessions {
    /// None yet.
    pub fn new(options: LostOptions) -> Self {
        Self { options, sessions: HashMap::new(), ends: VecDeque::new(), bytes: 0 }
    }

    /// Keeps a session from `now` on. Says how many ended for it, because their time is over or the memory is full.
    pub fn keep(&mut self, now: Instant, lost: Lost) -> usize {
        let mut ended = self.expire(now);
        let bytes = lost.bytes();
        if self.options.window.is_zero() || bytes > self.options.bytes {
            return ended + 1;
        }
        while self.bytes + bytes > self.options.bytes {
            let Some((until, oldest)) = self.ends.pop_front() else { break };
            let current = self.sessions.get(&oldest).is_some_and(|kept| kept.until == until);
            ended += usize::from(current && self.remove(&oldest).is_some());
        }
        self.remove(&lost.session_id);
        self.bytes += bytes;
        let until = now + self.options.window;
        self.ends.push_back((until, lost.session_id.clone()));
        self.sessions.insert(lost.session_id.clone(), Kept { lost, until });
        ended
    }

    /// Takes the session of this name out, if it is this user's and its time is not over.
    pub fn take(&mut self, now: Instant, session_id: &SessionId, user: &UserId) -> Option<Lost> {
        let kept = self.sessions.get(session_id)?;
        (kept.until > now && kept.lost.user.id == *user).then(|| self.remove(session_id)).flatten()
    }

    /// Ends the sessions whose time is over, and says how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let mut ended = 0;
        while let Some((until, session_id)) = self.ends.front() {
            let current = self.sessions.get(session_id).is_some_and(|kept| kept.until == *until);
            if current && *until > now {
                break;
            }
            if current {
                let session_id = session_id.clone();
                ended += usize::from(self.remove(&session_id).is_some());
            }
            self.ends.pop_front();
        }
        ended
    }

    /// Keeps the user's sessions for another window, and says which.
    pub fn extend(&mut self, now: Instant, user: &UserId) -> Vec<ConnectionId> {
        self.expire(now);
        let until = now + self.options.window;
        let mut extended = Vec::new();
        for (session_id, kept) in &mut self.sessions {
            if kept.lost.user.id == *user {
                kept.until = until;
                self.ends.push_back((until, session_id.clone()));
                extended.push(kept.lost.connection_id.clone());
            }
        }
        extended.sort_unstable();
        extended
    }

    /// Counts an attempt at recovery for each session, ends those that had enough, and says whose the others are, so
    /// that it can be checked whether these users may still come back.
    pub fn attempt(&mut self, now: Instant) -> (Vec<UserId>, usize) {
        let mut ended = self.expire(now);
        let tired: Vec<SessionId> = self
            .sessions
            .values_mut()
            .filter_map(|kept| {
                kept.lost.history.recovery_attempts += 1;
                let tired = kept.lost.history.recovery_attempts > self.options.recovery_attempts;
                tired.then(|| kept.lost.session_id.clone())
            })
            .collect();
        ended += tired.iter().filter(|session_id| self.remove(session_id).is_some()).count();
        let mut users: Vec<_> = self.sessions.values().map(|kept| kept.lost.user.id.clone()).collect();
        users.sort_unstable();
        users.dedup();
        (users, ended)
    }

    /// Ends every session that `is_over` picks, and says how many.
    pub fn end(&mut self, is_over: impl Fn(&Lost) -> bool) -> usize {
        let over = self.sessions.values().filter(|kept| is_over(&kept.lost));
        let over: Vec<_> = over.map(|kept| kept.lost.session_id.clone()).collect();
        over.iter().filter(|session_id| self.remove(session_id).is_some()).count()
    }

    /// Every session that can still go on, in no order, with what is left of its time.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&Lost, Duration)> {
        let left = move |kept: &Kept| kept.until.saturating_duration_since(now);
        self.sessions.values().map(move |kept| (&kept.lost, left(kept))).filter(|(_, left)| !left.is_zero())
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How much memory they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, session_id: &SessionId) -> Option<Lost> {
        let lost = self.sessions.remove(session_id)?.lost;
        self.bytes -= lost.bytes();
        if self.sessions.is_empty() {
            // Whatever still stands in the queue is passed over anyway.
            self.ends = VecDeque::new();
        }
        Some(lost)
    }
}

#[cfg(test)]
mod tests;
