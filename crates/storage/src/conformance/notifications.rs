//! What users are told.

use healthmate_care::Clock;
use healthmate_protocol::{
    NotificationData, NotificationId, NotificationKind, Offset, Priority, Topic, TopicKind,
};

use super::sample::{id, people, teller};
use super::{Failed, Harness, Outcome};
use crate::{Error, EventKind, NewNotification, NotificationPage, NotificationQuery};

/// Something urgent about the patient `p`, whose title is `title`.
pub(super) fn news(harness: &Harness, user: &str, title: &str) -> Result<NewNotification, Failed> {
    Ok(NewNotification {
        id: harness.clock.notification_id(),
        user: id(user)?,
        kind: NotificationKind::BreakGlass,
        priority: Priority::Urgent,
        title: title.to_owned(),
        body: "«n» opened your data: \"why\"".to_owned(),
        patient: Some(id("p")?),
        expires_at: Some(harness.clock.now().plus_millis(60_000)),
    })
}

pub(super) async fn page(
    harness: &Harness,
    user: &str,
    limit: u32,
    before: Option<Offset>,
) -> Result<NotificationPage, Failed> {
    let query = NotificationQuery { user: id(user)?, limit, before };
    Ok(harness.store()?.notifications(query).await?)
}

pub(super) async fn titles(harness: &Harness, user: &str) -> Result<Vec<String>, Failed> {
    let page = page(harness, user, 1000, None).await?;
    Ok(page.notifications.into_iter().map(|stored| stored.data.title).collect())
}

/// `notify`: the row, the event and what the listener hears are one and the same.
pub async fn a_notification_is_an_event_and_a_row(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let (listener, heard) = teller();
    store.set_commit_listener(listener);
    let bare = NewNotification { patient: None, expires_at: None, ..news(&harness, "n", "two")? };
    let told = [news(&harness, "n", "one")?, bare, news(&harness, "p", "three")?];
    store.notify(told.to_vec()).await?;
    store.notify(Vec::new()).await?;
    for (user, expected) in [("n", &told[..2]), ("p", &told[2..])] {
        let topic = Topic::new(TopicKind::Notifications, id(user)?);
        let events = store.read_after(&topic, Offset::START, 10).await?;
        let page = page(&harness, user, 10, None).await?;
        assert_eq!((page.unseen, page.next), (expected.len() as u64, None));
        assert_eq!(events.len(), expected.len());
        for ((event, new), stored) in events.iter().zip(expected).zip(page.notifications.iter().rev()) {
            let live = heard.recv()?;
            assert_eq!(
                (&live.topic, live.offset, live.payload.get()),
                (&topic, event.offset, event.payload.get())
            );
            assert_eq!((event.kind, event.recorded_at), (EventKind::Notification, harness.clock.now()));
            let data = new.to_data(harness.clock.now());
            assert_eq!(serde_json::from_str::<NotificationData>(event.payload.get())?, data);
            assert_eq!((stored.offset, &stored.data, stored.seen_at), (event.offset, &data, None));
        }
    }
    Ok(())
}

/// `notify` for somebody unknown, or about a patient who is, stores nothing of the batch.
pub async fn nobody_is_told_where_one_is_unknown(harness: Harness) -> Outcome {
    people(&harness).await?;
    let good = news(&harness, "n", "one")?;
    let stranger = NewNotification { user: id("nobody")?, ..good.clone() };
    let about = NewNotification { patient: Some(id("n")?), ..good.clone() };
    for (bad, missing) in [(stranger, "user"), (about, "patient")] {
        let refused = harness.store()?.notify(vec![good.clone(), bad]).await;
        assert_eq!(refused, Err(Error::NotFound(missing)));
    }
    assert_eq!(page(&harness, "n", 10, None).await?.notifications, []);
    assert_eq!(page(&harness, "nobody", 10, None).await?.unseen, 0);
    Ok(())
}

/// `notify` with an id that is taken, or twice in a batch, stores nothing of the batch.
pub async fn a_name_is_used_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let (listener, heard) = teller();
    store.set_commit_listener(listener);
    let first = news(&harness, "n", "one")?;
    store.notify(vec![first.clone()]).await?;
    let other = news(&harness, "n", "other")?;
    let elsewhere = NewNotification { user: id("p")?, ..first.clone() };
    for batch in
        [vec![other.clone(), first], vec![other.clone(), elsewhere], vec![other.clone(), other.clone()]]
    {
        assert_eq!(store.notify(batch).await, Err(Error::Exists("notification")));
    }
    store.notify(vec![other]).await?;
    store.check_writable().await?;
    let offsets: Vec<_> = heard.try_iter().map(|event| event.offset.0).collect();
    assert_eq!(
        (offsets, titles(&harness, "n").await?),
        (vec![1, 2], vec!["other".to_owned(), "one".to_owned()])
    );
    assert!(titles(&harness, "p").await?.is_empty());
    Ok(())
}

/// Pages of `notifications` join without hole or repeat, newest first.
pub async fn pages_of_notifications_join(harness: Harness) -> Outcome {
    people(&harness).await?;
    for n in 1..=7 {
        harness
            .store()?
            .notify(vec![news(&harness, "n", &n.to_string())?, news(&harness, "p", "-")?])
            .await?;
    }
    for limit in [1, 3, 7, 8] {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = page(&harness, "n", limit, before).await?;
            assert!(page.notifications.len() <= limit as usize);
            all.extend(page.notifications.into_iter().map(|stored| stored.data.title));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(all, ["7", "6", "5", "4", "3", "2", "1"], "pages of {limit}");
    }
    Ok(())
}

/// `notification_seen` counts once, for its user only, and outlives a reopening.
pub async fn a_notification_is_seen_once(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let (one, other) = (news(&harness, "n", "one")?, news(&harness, "n", "other")?);
    harness.store()?.notify(vec![one.clone(), other]).await?;
    let (first, later) = (harness.clock.now().plus_millis(5), harness.clock.now().plus_millis(9));
    for (user, name) in [("p", one.id.clone()), ("n", NotificationId::new("0")?)] {
        let refused = harness.store()?.notification_seen(&id(user)?, &name, first).await;
        assert_eq!(refused, Err(Error::NotFound("notification")));
    }
    assert_eq!(page(&harness, "n", 10, None).await?.unseen, 2);
    harness.store()?.notification_seen(&id("n")?, &one.id, first).await?;
    harness.store()?.notification_seen(&id("n")?, &one.id, later).await?;
    harness.reopen()?;
    let page = page(&harness, "n", 10, None).await?;
    assert_eq!(page.unseen, 1);
    let seen: Vec<_> = page.notifications.iter().map(|stored| stored.seen_at).collect();
    assert_eq!(seen, [None, Some(first)]);
    Ok(())
}
