//! What users are told, in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use healthmate_protocol::{NotificationId, Offset, Timestamp, Topic, TopicKind, UserId};

use super::MemoryStore;
use super::state::State;
use crate::{
    Error, Event, EventKind, NewNotification, NotificationPage, NotificationQuery, Notifications,
    StoredNotification, notification_payload,
};

/// Notifications by user and offset.
pub(super) type Told = BTreeMap<(UserId, Offset), StoredNotification>;

impl State {
    /// Refuses what is for or about somebody unknown.
    pub(super) fn can_tell(&self, notifications: &[NewNotification]) -> Result<(), Error> {
        for notification in notifications {
            if !self.users.contains_key(&notification.user) {
                return Err(Error::NotFound("user"));
            }
            if let Some(patient) = &notification.patient {
                self.patient(patient)?;
            }
        }
        Ok(())
    }

    /// Stores notifications that have new names, and returns their events.
    pub(super) fn tell(
        &mut self,
        notifications: Vec<NewNotification>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Error> {
        let mut named: BTreeSet<_> = self.told.values().map(|stored| &stored.data.id).collect();
        if !notifications.iter().all(|notification| named.insert(&notification.id)) {
            return Err(Error::Exists("notification"));
        }
        let written = notifications.into_iter().map(|notification| {
            let data = notification.to_data(now);
            Ok((notification.user, notification_payload(&data)?, data))
        });
        let mut events = Vec::new();
        for (user, payload, data) in written.collect::<Result<Vec<_>, Error>>()? {
            let topic = Topic::new(TopicKind::Notifications, user.clone());
            let event = self.append(topic, EventKind::Notification, payload, now);
            let stored = StoredNotification { offset: event.offset, data, seen_at: None };
            self.told.insert((user, event.offset), stored);
            events.push(event);
        }
        Ok(events)
    }
}

#[async_trait]
impl Notifications for MemoryStore {
    async fn notify(&self, notifications: Vec<NewNotification>) -> Result<(), Error> {
        self.commit(|state, now| {
            state.can_tell(&notifications)?;
            Ok(((), state.tell(notifications, now)?))
        })
    }

    async fn notifications(&self, query: NotificationQuery) -> Result<NotificationPage, Error> {
        let NotificationQuery { user, limit, before } = query;
        let state = self.state.lock();
        let own = state.told.iter().rev().filter(|((of, _), _)| *of == user).map(|(_, stored)| stored);
        let unseen = own.clone().filter(|stored| stored.seen_at.is_none()).count() as u64;
        let mut found = own.filter(|stored| before.is_none_or(|before| stored.offset < before));
        let notifications: Vec<_> = found.by_ref().take(limit as usize).cloned().collect();
        let next = found.next().and(notifications.last()).map(|last| last.offset);
        Ok(NotificationPage { notifications, unseen, next })
    }

    async fn notification_seen(
        &self,
        user: &UserId,
        id: &NotificationId,
        at: Timestamp,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        let mut own = state.told.iter_mut().filter(|((of, _), _)| of == user);
        let (_, stored) =
            own.find(|(_, stored)| stored.data.id == *id).ok_or(Error::NotFound("notification"))?;
        stored.seen_at.get_or_insert(at);
        Ok(())
    }
}
