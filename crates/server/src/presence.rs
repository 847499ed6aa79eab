//! Who is connected to this node and who watches what, over all its shards; and who is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use healthmate_care::{Action, Grants, decide};
use healthmate_hub::{Presence, PresenceChange};
use healthmate_protocol::server::Present;
use healthmate_protocol::{Interest, Timestamp, Topic, UserId};
use healthmate_storage::{CircleMember, Error};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::app::App;

/// The presence of this node. Touched when a connection is authenticated and when it ends, when it subscribes and
/// unsubscribes; never for a message.
#[derive(Debug)]
pub(crate) struct PresenceBook {
    book: Mutex<Book>,
    /// Something is to be announced, or a first grace time runs.
    changed: Notify,
}

#[derive(Debug)]
struct Book {
    presence: Presence,
    /// How many subscriptions to each topic want to hear of it. A topic that nobody asks about costs no announcement.
    listeners: HashMap<Topic, u32>,
    /// What was not announced yet, in order.
    changes: Vec<PresenceChange>,
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At this time; the user may come back within the grace time.
    Left(Instant),
    /// The user may hear the topic no longer.
    Revoked,
}

impl Book {
    /// Somebody wants to hear of the topic, or no longer does.
    fn listen(&mut self, topic: &Topic, before: bool, after: bool) {
        match (before, after) {
            (false, true) => *self.listeners.entry(topic.clone()).or_default() += 1,
            (true, false) => {
                if let Entry::Occupied(mut listeners) = self.listeners.entry(topic.clone()) {
                    *listeners.get_mut() -= 1;
                    if *listeners.get() == 0 {
                        listeners.remove();
                    }
                }
            }
            _ => {}
        }
    }

    /// Keeps what is to be announced, where somebody wants to hear it.
    fn announce(&mut self, changes: impl IntoIterator<Item = PresenceChange>) {
        let listeners = &self.listeners;
        self.changes.extend(changes.into_iter().filter(|change| listeners.contains_key(&change.topic)));
    }

    fn end(&mut self, user: &UserId, topic: &Topic, interest: Interest, ending: Ending) {
        self.listen(topic, interest.presence, false);
        match ending {
            Ending::Left(now) => self.presence.unwatch(topic, user, now),
            Ending::Revoked => {
                let left = self.presence.revoke(topic, user);
                self.announce(left);
            }
        }
    }
}

impl PresenceBook {
    /// Nobody is there. Who goes has `grace` to come back.
    pub(crate) fn new(grace: Duration) -> Self {
        let book = Book { presence: Presence::new(grace), listeners: HashMap::new(), changes: Vec::new() };
        Self { book: Mutex::new(book), changed: Notify::new() }
    }

    /// A connection of `user` is authenticated.
    pub(crate) fn connected(&self, user: &UserId, now: Timestamp) {
        self.book.lock().presence.connect(user, now);
    }

    /// An authenticated connection of `user` has ended, with its `subscriptions`.
    pub(crate) fn disconnected(&self, user: &UserId, subscriptions: &[(Topic, Interest)], now: Instant) {
        self.with(|book| {
            for (topic, interest) in subscriptions {
                book.end(user, topic, *interest, Ending::Left(now));
            }
            book.presence.disconnect(user, now);
        });
    }

    /// A connection of `user` hears `topic` from now on, with this interest; `before` is the one of its subscription
    /// that is replaced.
    pub(crate) fn subscribed(
        &self,
        user: &UserId,
        topic: &Topic,
        before: Option<Interest>,
        interest: Interest,
    ) {
        self.with(|book| {
            book.listen(topic, before.is_some_and(|before| before.presence), interest.presence);
            if before.is_none() {
                let joined = book.presence.watch(topic, user);
                book.announce(joined);
            }
        });
    }

    /// A connection of `user` hears `topic` no longer, which it did with this interest.
    pub(crate) fn unsubscribed(&self, user: &UserId, topic: &Topic, interest: Interest, ending: Ending) {
        self.with(|book| book.end(user, topic, interest, ending));
    }

    /// Changes the book, and wakes who announces where that has become necessary.
    fn with(&self, change: impl FnOnce(&mut Book)) {
        let mut book = self.book.lock();
        let before = (book.changes.is_empty(), book.presence.next_due().is_none());
        change(&mut book);
        // Who goes later is due later: only the first one is waited for anew.
        let news = before.0 && !book.changes.is_empty();
        let leaver = before.1 && book.presence.next_due().is_some();
        drop(book);
        if news || leaver {
            self.changed.notify_one();
        }
    }

    /// Waits until something is to be announced, and returns it, in order.
    pub(crate) async fn changes(&self) -> Vec<PresenceChange> {
        loop {
            let (changes, due) = {
                let mut book = self.book.lock();
                let left = book.presence.due(tokio::time::Instant::now().into_std());
                book.announce(left);
                (std::mem::take(&mut book.changes), book.presence.next_due())
            };
            if !changes.is_empty() {
                return changes;
            }
            match due {
                None => self.changed.notified().await,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Those of `circle` who may hear `topic` at `now` and are there.
    fn present(&self, topic: &Topic, circle: Vec<CircleMember>, now: Timestamp) -> Vec<Present> {
        let book = self.book.lock();
        let present = circle.into_iter().filter_map(|CircleMember { user, relation }| {
            let grants = Grants { relation: relation.as_ref(), break_glass: None };
            let decision = decide(&user, Action::ReadMeasurements, topic.id(), &grants, now);
            let seen = book.presence.seen(topic, &user.id).filter(|_| decision.is_allowed())?;
            let role = user.role.as_str().to_owned();
            Some(Present { user_id: user.id, role, since: seen.since, watching: seen.watching })
        });
        present.collect()
    }
}

/// Who is connected of the circle of the patient whose topic this is, by id. Whoever asks must be allowed to hear it.
///
/// # Errors
/// If the circle cannot be read.
pub(crate) async fn look_up(app: &App, topic: &Topic) -> Result<Vec<Present>, Error> {
    let circle = app.store.circle(topic.id()).await?;
    Ok(app.presence.present(topic, circle, app.clock.now()))
}

#[cfg(test)]
mod tests;
