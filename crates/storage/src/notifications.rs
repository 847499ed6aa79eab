//! What users are told.

use std::fmt;

use async_trait::async_trait;
use healthmate_protocol::{
    NotificationData, NotificationId, NotificationKind, Offset, Priority, Timestamp, UserId,
};

use crate::Error;

/// Something to tell a user.
#[derive(Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Names it; nobody used it before.
    pub id: NotificationId,
    /// Whom to tell.
    pub user: UserId,
    /// What it is about.
    pub kind: NotificationKind,
    /// How much it matters.
    pub priority: Priority,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, in sentences.
    pub body: String,
    /// Whom it is about, where it is about a patient.
    pub patient: Option<UserId>,
    /// From when on it matters no more.
    pub expires_at: Option<Timestamp>,
}

impl NewNotification {
    /// The notification as its event carries it, written at `created_at`.
    pub fn to_data(&self, created_at: Timestamp) -> NotificationData {
        let Self { id, kind, priority, title, body, patient, expires_at, .. } = self.clone();
        NotificationData { id, kind, priority, title, body, patient, created_at, expires_at }
    }
}

/// Its text may hold health data: `Debug` shows whom and what about.
impl fmt::Debug for NewNotification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewNotification({} to {}, {})", self.id, self.user, self.kind.as_str())
    }
}

/// A notification of a user's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotification {
    /// Its place in the user's topic.
    pub offset: Offset,
    /// The notification.
    pub data: NotificationData,
    /// When the user saw it first.
    pub seen_at: Option<Timestamp>,
}

/// Which notifications to read.
#[derive(Clone, Debug)]
pub struct NotificationQuery {
    /// Whose.
    pub user: UserId,
    /// How many at most, 1 to [`healthmate_protocol::MAX_PAGE`].
    pub limit: u32,
    /// Only those before this place.
    pub before: Option<Offset>,
}

/// A page of notifications, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationPage {
    /// The page.
    pub notifications: Vec<StoredNotification>,
    /// How many of the user's notifications are not seen yet, on any page.
    pub unseen: u64,
    /// Where the next page starts: before this place; `None` on the last one.
    pub next: Option<Offset>,
}

/// What users are told: each is a durable event of the user's topic, and a row of the history.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// Stores notifications and their events, all or none, in one transaction.
    ///
    /// # Errors
    /// `NotFound("user")` if one is for somebody unknown, `NotFound("patient")` if one is about a patient who is,
    /// `Exists("notification")` if an id is taken; or the store cannot be written.
    async fn notify(&self, notifications: Vec<NewNotification>) -> Result<(), Error>;

    /// A page of a user's notifications; empty for an unknown user.
    ///
    /// # Errors
    /// If the store cannot be read.
    async fn notifications(&self, query: NotificationQuery) -> Result<NotificationPage, Error>;

    /// Remembers that the user has seen one, first at `at`: a second time changes nothing.
    ///
    /// # Errors
    /// `NotFound("notification")` if the user has none of this id; or the store cannot be written.
    async fn notification_seen(&self, user: &UserId, id: &NotificationId, at: Timestamp)
    -> Result<(), Error>;
}
