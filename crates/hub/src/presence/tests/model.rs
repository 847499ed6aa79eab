//! Presence against a model that knows every connection by itself, and counts nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Connect(usize),
    /// A connection ends, with all it watches.
    Disconnect(usize),
    Watch(usize, usize),
    Unwatch(usize, usize),
    Revoke(usize, usize),
    Wait(u64),
}

const USERS: [&str; 3] = ["ana", "ben", "cy"];
const TOPICS: [&str; 2] = ["p", "q"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..USERS.len()).prop_map(Step::Connect),
        3 => (0usize..8).prop_map(Step::Disconnect),
        4 => (0usize..8, 0..TOPICS.len()).prop_map(|(which, topic)| Step::Watch(which, topic)),
        2 => (0usize..8, 0..TOPICS.len()).prop_map(|(which, topic)| Step::Unwatch(which, topic)),
        1 => (0usize..8, 0..TOPICS.len()).prop_map(|(which, topic)| Step::Revoke(which, topic)),
        4 => (0u64..14).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

/// A user, or a user and a topic it watches.
type Key = (usize, Option<usize>);

#[derive(Default)]
struct Model {
    now: u64,
    /// Whose each open connection is, and what it watches.
    connections: Vec<(usize, Vec<usize>)>,
    /// Who is there for others: since when, and when it was last there in truth.
    there: BTreeMap<Key, (u64, u64)>,
}

impl Model {
    fn is_held(&self, (user, topic): Key) -> bool {
        self.connections
            .iter()
            .any(|(whose, watched)| *whose == user && topic.is_none_or(|topic| watched.contains(&topic)))
    }

    /// Looks at everybody again: those who are held are there; the others until their grace is over, or not at all
    /// if `barred`. Returns who is new, and who is gone.
    fn settle(&mut self, barred: Option<Key>) -> (Vec<Key>, Vec<Key>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for user in 0..USERS.len() {
            for topic in [None].into_iter().chain((0..TOPICS.len()).map(Some)) {
                let (key, now) = ((user, topic), self.now);
                if self.is_held(key) {
                    self.there
                        .entry(key)
                        .or_insert_with(|| {
                            new.push(key);
                            (now, now)
                        })
                        .1 = now;
                } else if self.there.get(&key).is_some_and(|(_, last)| last + GRACE.as_secs() <= now)
                    || (barred == Some(key) && self.there.contains_key(&key))
                {
                    self.there.remove(&key);
                    gone.push(key);
                }
            }
        }
        (new, gone)
    }
}

struct Trial {
    model: Model,
    presence: Presence,
    changes: Vec<PresenceChange>,
}

impl Trial {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let mut barred = None;
        let open = self.model.connections.len();
        match *step {
            Step::Connect(user) => {
                self.model.connections.push((user, Vec::new()));
                self.presence.connect(&super::user(USERS[user]), time(self.model.now));
            }
            Step::Wait(seconds) => return self.wait(seconds),
            _ if open == 0 => {}
            Step::Disconnect(which) => {
                let (user, watched) = self.model.connections.remove(which % open);
                let user = super::user(USERS[user]);
                for watched in watched {
                    self.presence.unwatch(&topic(TOPICS[watched]), &user, at(self.model.now));
                }
                self.presence.disconnect(&user, at(self.model.now));
            }
            Step::Watch(which, watched) => {
                let (user, held) = &mut self.model.connections[which % open];
                if !held.contains(&watched) {
                    held.push(watched);
                    self.changes
                        .extend(self.presence.watch(&topic(TOPICS[watched]), &super::user(USERS[*user])));
                }
            }
            Step::Unwatch(which, watched) | Step::Revoke(which, watched) => {
                let (user, held) = &mut self.model.connections[which % open];
                let (name, what) = (super::user(USERS[*user]), topic(TOPICS[watched]));
                if let Some(index) = held.iter().position(|held| *held == watched) {
                    held.remove(index);
                    if matches!(step, Step::Revoke(..)) {
                        barred = Some((*user, Some(watched)));
                        self.changes.extend(self.presence.revoke(&what, &name));
                    } else {
                        self.presence.unwatch(&what, &name, at(self.model.now));
                    }
                }
            }
        }
        self.compare(barred)
    }

    /// Time goes by, second by second.
    fn wait(&mut self, seconds: u64) -> Result<(), TestCaseError> {
        for _ in 0..seconds {
            self.model.now += 1;
            let due = self.presence.next_due();
            self.changes = self.presence.due(at(self.model.now));
            prop_assert!(self.changes.is_empty() || due == Some(at(self.model.now)), "came late: {due:?}");
            self.compare(None)?;
        }
        Ok(())
    }

    fn compare(&mut self, barred: Option<Key>) -> Result<(), TestCaseError> {
        let (new, gone) = self.model.settle(barred);
        let expected = [(new, true), (gone, false)].into_iter().flat_map(|(keys, joined)| {
            let watchers = keys.into_iter().filter_map(|(user, topic)| Some((user, topic?)));
            watchers.map(move |(user, watched)| (USERS[user], topic(TOPICS[watched]), joined))
        });
        let mut expected: Vec<_> = expected.collect();
        let changes = std::mem::take(&mut self.changes);
        let mut told: Vec<_> = changes
            .iter()
            .map(|change| (change.user.as_str(), change.topic.clone(), change.joined))
            .collect();
        expected.sort();
        told.sort();
        prop_assert_eq!(told, expected);
        for (index, name) in USERS.iter().enumerate() {
            for (watched, name_of_topic) in TOPICS.iter().enumerate() {
                let there = self.model.there.get(&(index, None)).map(|(since, _)| Present {
                    since: time(*since),
                    watching: self.model.there.contains_key(&(index, Some(watched))),
                });
                prop_assert_eq!(self.presence.seen(&topic(name_of_topic), &user(name)), there);
            }
        }
        let (users, watchers): (Vec<Key>, Vec<Key>) =
            self.model.there.keys().copied().partition(|(_, topic)| topic.is_none());
        prop_assert_eq!(
            (self.presence.users.len(), self.presence.watchers.len()),
            (users.len(), watchers.len())
        );
        Ok(())
    }
}

proptest! {
    /// Whatever connects, watches and goes in whatever order: what is announced and answered is what a model says that
    /// looks at everybody's connections again after each step, and nothing is kept of who is gone.
    #[test]
    fn the_presence_of_users_is_that_of_their_connections(steps in steps()) {
        let mut trial =
            Trial { model: Model::default(), presence: Presence::new(GRACE), changes: Vec::new() };
        for step in &steps {
            trial.step(step)?;
        }
    }
}
