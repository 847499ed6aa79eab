//! Reading notifications, and the store's side of the trait: what is written is in `writer/notifications.rs`.

use async_trait::async_trait;
use healthmate_protocol::{NotificationId, Timestamp, Topic, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{
    Error, Event, EventKind, NewNotification, NotificationPage, NotificationQuery, Notifications,
    StoredNotification,
};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde_json::value::RawValue;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::queries::{offset, optional_time, rows, time, unreadable};
use crate::sealer::Sealer;
use crate::writer::notifications;

pub(crate) const PAGE: &str = "SELECT offset, id, text, seen_at FROM notification
    WHERE user = ?1 AND offset < ?2 ORDER BY offset DESC LIMIT ?3";
pub(crate) const UNSEEN: &str = "SELECT count(*) FROM notification WHERE user = ?1 AND seen_at IS NULL";

pub(crate) const EVENTS: &str = "SELECT e.offset, n.id, n.text, e.recorded_at
    FROM event AS e CROSS JOIN notification AS n ON n.user = ?4 AND n.offset = e.offset
    WHERE e.topic = (SELECT key FROM topic WHERE name = ?1) AND e.offset > ?2 ORDER BY e.offset LIMIT ?3";

fn page(conn: &Connection, sealer: &Sealer, query: &NotificationQuery) -> Result<NotificationPage, Failure> {
    let NotificationQuery { user, limit, before } = query;
    let before = before.map_or(i64::MAX, |before| i64::try_from(before.0).unwrap_or(i64::MAX));
    // One more tells whether there is a next page.
    let place = params![user.as_str(), before, i64::from(*limit) + 1];
    let mut notifications = rows(conn, PAGE, place, |row| {
        let data = serde_json::from_str(&opened(conn, sealer, user, row)?);
        let data = data.map_err(|error| unreadable(2, Type::Blob, error))?;
        Ok(StoredNotification { offset: offset(row, 0)?, data, seen_at: optional_time(row, 3)? })
    })?;
    let more = notifications.len() > *limit as usize;
    notifications.truncate(*limit as usize);
    let next = notifications.last().map(|last| last.offset).filter(|_| more);
    let unseen: i64 = conn.prepare_cached(UNSEEN)?.query_row([user.as_str()], |row| row.get(0))?;
    Ok(NotificationPage { notifications, unseen: unseen.unsigned_abs(), next })
}

/// What was sealed, of a row with the columns `…, id, text`.
fn opened(conn: &Connection, sealer: &Sealer, user: &UserId, row: &Row<'_>) -> rusqlite::Result<String> {
    let (id, text) = (row.get_ref(1)?.as_str()?.as_bytes(), row.get_ref(2)?.as_blob()?);
    sealer.open(conn, user, SealedColumn::NotificationText, id, text)
}

/// The events of a topic of notifications: their places from the log, their data from the sealed column.
pub(crate) fn read_after(
    conn: &Connection,
    sealer: &Sealer,
    topic: &Topic,
    after: i64,
    limit: u32,
) -> Result<Vec<Event>, Failure> {
    let user = topic.id();
    rows(conn, EVENTS, params![topic.to_string(), after, limit, user.as_str()], |row| {
        let payload = RawValue::from_string(opened(conn, sealer, user, row)?);
        let payload = payload.map_err(|error| unreadable(2, Type::Text, error))?.into();
        let (topic, kind) = (topic.clone(), EventKind::Notification);
        Ok(Event { topic, offset: offset(row, 0)?, kind, recorded_at: time(row, 3)?, series: None, payload })
    })
}

#[async_trait]
impl Notifications for SqliteStore {
    async fn notify(&self, notifications: Vec<NewNotification>) -> Result<(), Error> {
        self.writer
            .write(notifications.len(), move |group| notifications::notify(group, &notifications))
            .await
    }

    async fn notifications(&self, query: NotificationQuery) -> Result<NotificationPage, Error> {
        self.read(move |conn, sealer| page(conn, sealer, &query)).await
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
