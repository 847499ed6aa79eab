//! Reading notifications, and the store's side of the trait: what is written is in `writer/notifications.rs`.

use async_trait::async_trait;
use healthmate_protocol::{NotificationId, Timestamp, UserId};
use healthmate_storage::{
    Error, NewNotification, NotificationPage, NotificationQuery, Notifications, StoredNotification,
};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::queries::{offset, optional_time, rows, unreadable};
use crate::writer::notifications;

pub(crate) const PAGE: &str = "SELECT offset, text, seen_at FROM notification
    WHERE user = ?1 AND offset < ?2 ORDER BY offset DESC LIMIT ?3";
pub(crate) const UNSEEN: &str = "SELECT count(*) FROM notification WHERE user = ?1 AND seen_at IS NULL";

fn page(conn: &Connection, query: &NotificationQuery) -> Result<NotificationPage, Failure> {
    let NotificationQuery { user, limit, before } = query;
    let before = before.map_or(i64::MAX, |before| i64::try_from(before.0).unwrap_or(i64::MAX));
    // One more tells whether there is a next page.
    let place = params![user.as_str(), before, i64::from(*limit) + 1];
    let mut notifications = rows(conn, PAGE, place, stored)?;
    let more = notifications.len() > *limit as usize;
    notifications.truncate(*limit as usize);
    let next = notifications.last().map(|last| last.offset).filter(|_| more);
    let unseen: i64 = conn.prepare_cached(UNSEEN)?.query_row([user.as_str()], |row| row.get(0))?;
    Ok(NotificationPage { notifications, unseen: unseen.unsigned_abs(), next })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredNotification> {
    let data = serde_json::from_slice(row.get_ref(1)?.as_blob()?);
    let data = data.map_err(|error| unreadable(1, Type::Blob, error))?;
    Ok(StoredNotification { offset: offset(row, 0)?, data, seen_at: optional_time(row, 2)? })
}

#[async_trait]
impl Notifications for SqliteStore {
    async fn notify(&self, notifications: Vec<NewNotification>) -> Result<(), Error> {
        self.writer
            .write(notifications.len(), move |group| notifications::notify(group, &notifications))
            .await
    }

    async fn notifications(&self, query: NotificationQuery) -> Result<NotificationPage, Error> {
        self.readers.read(move |conn| page(conn, &query)).await
    }

    async fn notification_seen(
        &self,
        user: &UserId,
        id: &NotificationId,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (user, id) = (user.clone(), id.clone());
        self.writer.write(1, move |group| notifications::seen(group, &user, &id, at)).await
    }
}
