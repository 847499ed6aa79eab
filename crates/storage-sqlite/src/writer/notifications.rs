//! Writing notifications: rows and events.

use healthmate_protocol::{NotificationId, Offset, Timestamp, Topic, TopicKind, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{Error, Event, EventKind, NewNotification, notification_payload};
use rusqlite::params;

use crate::codes::kind_key;
use crate::failure::Failure;
use crate::writer::group::Group;
use crate::writer::record::{INSERT_EVENT, unwritable};

const INSERT: &str = "INSERT INTO notification
        (user, offset, id, kind, priority, patient, text, created_at, expires_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING";
/// What stands in the log for the data of a notification, which the sealed column has.
const LEFT_OUT: &str = "null";
pub(crate) const SEEN: &str =
    "UPDATE notification SET seen_at = coalesce(seen_at, ?3) WHERE id = ?2 AND user = ?1";

pub(crate) fn notify(group: &mut Group<'_>, notifications: &[NewNotification]) -> Result<(), Failure> {
    check(group, notifications)?;
    tell(group, notifications)
}

/// Refuses what [`tell`] could not store.
pub(crate) fn check(group: &mut Group<'_>, notifications: &[NewNotification]) -> Result<(), Failure> {
    for notification in notifications {
        group.person(&notification.user)?.ok_or(Error::NotFound("user"))?;
        if let Some(patient) = &notification.patient {
            group.patient(patient)?;
        }
    }
    Ok(())
}

/// Stores notifications that were checked, and their events.
pub(crate) fn tell(group: &mut Group<'_>, notifications: &[NewNotification]) -> Result<(), Failure> {
    notifications.iter().try_for_each(|notification| tell_one(group, notification))
}

fn tell_one(group: &mut Group<'_>, notification: &NewNotification) -> Result<(), Failure> {
    let topic = Topic::new(TopicKind::Notifications, notification.user.clone());
    let mut head = group.head(&topic)?;
    head.head += 1;
    let (offset, recorded_at) = (Offset(head.head), group.recorded_at.at());
    let data = notification.to_data(recorded_at);
    let payload = notification_payload(&data).map_err(unwritable)?;
    let kind = EventKind::Notification;
    let (key, number, at) = (head.key, head.head as i64, recorded_at.as_micros());
    let event = params![key, number, kind_key(kind), at, LEFT_OUT, None::<i64>];
    group.conn.prepare_cached(INSERT_EVENT)?.execute(event)?;
    let (user, row) = (&notification.user, data.id.as_str().as_bytes());
    let text = group.sealer.seal(group.conn, user, SealedColumn::NotificationText, row, payload.get())?;
    let inserted = group.conn.prepare_cached(INSERT)?.execute(params![
        notification.user.as_str(),
        head.head as i64,
        data.id.as_str(),
        data.kind.as_str(),
        data.priority.as_str(),
        data.patient.as_ref().map(UserId::as_str),
        text,
        recorded_at.as_micros(),
        data.expires_at.map(Timestamp::as_micros),
    ])?;
    if inserted == 0 {
        return Err(Error::Exists("notification").into());
    }
    let event = Event { topic: topic.clone(), offset, kind, recorded_at, series: None, payload };
    group.advance(topic, head, vec![event]);
    Ok(())
}

pub(crate) fn seen(
    group: &mut Group<'_>,
    user: &UserId,
    id: &NotificationId,
    at: Timestamp,
) -> Result<(), Failure> {
    let row = params![user.as_str(), id.as_str(), at.as_micros()];
    match group.conn.prepare_cached(SEEN)?.execute(row)? {
        0 => Err(Error::NotFound("notification").into()),
        _ => Ok(()),
    }
}
