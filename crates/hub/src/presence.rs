//! Who is connected, and who watches what.
//!
//! A user is there while one of its connections is, and watches a topic while one of them hears it; how many is
//! nobody's business. Who goes is there for a grace time yet: whoever comes back within it was never away, and nobody
//! hears of it. So what is answered and what is announced are always the same.
//!
//! Nothing is kept of who is gone. There is no clock in here: time is told, and [`Presence::next_due`] says when to
//! come again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use healthmate_protocol::{Timestamp, Topic, UserId};

/// Somebody began, or ceased, to watch a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    /// What is watched.
    pub topic: Topic,
    /// By whom.
    pub user: UserId,
    /// Whether the user began; otherwise, ceased.
    pub joined: bool,
}

/// A user who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// Since when the user is connected, without an absence longer than the grace time.
    pub since: Timestamp,
    /// Whether the user watches the topic that was asked about.
    pub watching: bool,
}

/// The users of a node and what they watch. Told when a connection is authenticated and when it ends, when it
/// subscribes and unsubscribes; never for a message.
#[derive(Debug)]
pub struct Presence {
    grace: Duration,
    users: HashMap<UserId, Connected>,
    watchers: HashMap<(Topic, UserId), Standing>,
    /// Who goes, in the order of their time.
    leaving: BTreeSet<(Instant, Leaver)>,
}

/// A user with a connection, or one who may come back.
#[derive(Debug)]
struct Connected {
    since: Timestamp,
    standing: Standing,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// By so many connections, at least one.
    Here(u32),
    /// No more; gone at this time, unless back before.
    Leaving(Instant),
}

/// Whose time runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Leaver {
    /// One who watched.
    Watcher(Topic, UserId),
    /// One who was connected.
    User(UserId),
}

impl Presence {
    /// Nobody is there. Who goes has `grace` to come back: 0 s to 300 s, by default 10 s.
    pub fn new(grace: Duration) -> Self {
        Self { grace, users: HashMap::new(), watchers: HashMap::new(), leaving: BTreeSet::new() }
    }

    /// A connection of `user` is authenticated.
    pub fn connect(&mut self, user: &UserId, now: Timestamp) {
        let connected = self.users.entry(user.clone());
        let connected = connected.or_insert(Connected { since: now, standing: Standing::Here(0) });
        if let Some(until) = connected.standing.come() {
            self.leaving.remove(&(until, Leaver::User(user.clone())));
        }
    }

    /// A connection of `user`, which was authenticated, has ended. What it watched was [unwatched](Self::unwatch)
    /// before.
    pub fn disconnect(&mut self, user: &UserId, now: Instant) {
        let until = now + self.grace;
        if self.users.get_mut(user).is_some_and(|connected| connected.standing.go(until)) {
            self.leaving.insert((until, Leaver::User(user.clone())));
        }
    }

    /// A connection of `user` hears `topic` from now on. What is to be announced, if anything.
    pub fn watch(&mut self, topic: &Topic, user: &UserId) -> Option<PresenceChange> {
        match self.watchers.entry((topic.clone(), user.clone())) {
            Entry::Vacant(vacant) => {
                vacant.insert(Standing::Here(1));
                Some(PresenceChange { topic: topic.clone(), user: user.clone(), joined: true })
            }
            Entry::Occupied(mut held) => {
                if let Some(until) = held.get_mut().come() {
                    self.leaving.remove(&(until, Leaver::Watcher(topic.clone(), user.clone())));
                }
                None
            }
        }
    }

    /// A connection of `user` hears `topic` no longer.
    pub fn unwatch(&mut self, topic: &Topic, user: &UserId, now: Instant) {
        let until = now + self.grace;
        let held = self.watchers.get_mut(&(topic.clone(), user.clone()));
        if held.is_some_and(|standing| standing.go(until)) {
            self.leaving.insert((until, Leaver::Watcher(topic.clone(), user.clone())));
        }
    }

    /// A connection of `user` may hear `topic` no longer. With the last one the user is gone at once: there is no grace
    /// for who has lost access. What is to be announced, if anything.
    pub fn revoke(&mut self, topic: &Topic, user: &UserId) -> Option<PresenceChange> {
        match self.watchers.entry((topic.clone(), user.clone())) {
            Entry::Occupied(held) if *held.get() == Standing::Here(1) => {
                let ((topic, user), _) = held.remove_entry();
                Some(PresenceChange { topic, user, joined: false })
            }
            Entry::Occupied(mut held) => {
                if let Standing::Here(connections) = held.get_mut() {
                    *connections -= 1;
                }
                None
            }
            Entry::Vacant(_) => None,
        }
    }

    /// Forgets those whose grace time is over by `now`, and returns what is to be announced, in order.
    pub fn due(&mut self, now: Instant) -> Vec<PresenceChange> {
        let mut changes = Vec::new();
        while self.leaving.first().is_some_and(|(until, _)| *until <= now) {
            match self.leaving.pop_first() {
                Some((_, Leaver::User(user))) => {
                    self.users.remove(&user);
                    give_back(&mut self.users);
                }
                Some((_, Leaver::Watcher(topic, user))) => {
                    self.watchers.remove(&(topic.clone(), user.clone()));
                    give_back(&mut self.watchers);
                    changes.push(PresenceChange { topic, user, joined: false });
                }
                None => {}
            }
        }
        changes
    }

    /// When somebody's grace time is over next; [`Self::due`] then has something to do.
    pub fn next_due(&self) -> Option<Instant> {
        self.leaving.first().map(|(until, _)| *until)
    }

    /// Whether `user` is there, since when, and whether it watches `topic`.
    pub fn seen(&self, topic: &Topic, user: &UserId) -> Option<Present> {
        let Connected { since, .. } = self.users.get(user)?;
        let watching = self.watchers.contains_key(&(topic.clone(), user.clone()));
        Some(Present { since: *since, watching })
    }

    /// How many users are there.
    pub fn users(&self) -> usize {
        self.users.len()
    }
}

impl Standing {
    /// One connection more. Until when there was time to come back, if it was needed.
    fn come(&mut self) -> Option<Instant> {
        match *self {
            Self::Here(connections) => {
                *self = Self::Here(connections + 1);
                None
            }
            Self::Leaving(until) => {
                *self = Self::Here(1);
                Some(until)
            }
        }
    }

    /// One connection less. Whether it was the last, so that the time to come back runs.
    fn go(&mut self, until: Instant) -> bool {
        match *self {
            Self::Here(connections) if connections > 1 => {
                *self = Self::Here(connections - 1);
                false
            }
            Self::Here(_) => {
                *self = Self::Leaving(until);
                true
            }
            Self::Leaving(_) => false,
        }
    }
}

/// Gives memory back when a crowd has gone.
fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests;
