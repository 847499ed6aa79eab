//! What a store holds, as text: all that one can read of it.

use healthmate_care::AuditAction;
use healthmate_protocol::{Offset, Timestamp, Topic, TopicKind};
use uuid::Uuid;

use super::super::Failed;
use super::super::sample::{everything_of, id};
use super::{NAMES, PEOPLE};
use crate::{AccessLogQuery, MeasurementQuery, NotificationQuery, Store};

/// Everything of one person.
pub(super) async fn of(store: &dyn Store, person: &str) -> Result<Vec<String>, Failed> {
    let user = id(person)?;
    let mut held = vec![
        format!("{:?}", store.user(&user).await?.map(|user| (user.name, user.device_of))),
        format!("{:?} {:?}", store.user(&user).await?, store.password(&user).await?),
        format!("{:?} {:?}", store.circle(&user).await?, store.care_team(&user).await?),
        format!("{:?} {:?}", store.patients_of(&user).await?, store.sign_ins(&user).await?),
        format!("{:?} {:?}", store.api_tokens(&user).await?, store.newest(&user).await?),
        format!("{:?}", store.break_glasses_by(&user, Timestamp::from_micros(0)).await?),
    ];
    for key in store.passkeys(&user).await? {
        held.push(format!(
            "{:?} {:?}",
            (key.credential, key.name, key.counter),
            (key.created_at, key.last_used_at)
        ));
    }
    for opened in store.break_glasses_of(&user, 100).await? {
        held.push(format!("{:?} {}", opened.access, opened.reason));
    }
    for other in PEOPLE {
        held.push(format!("{:?}", store.break_glass_between(&user, &id(other)?).await?));
    }
    for kind in [TopicKind::Health, TopicKind::Notifications] {
        let topic = Topic::new(kind, user.clone());
        held.push(format!("{topic} {:?}", store.range(&topic).await?));
        for event in store.read_after(&topic, Offset::START, u32::MAX).await? {
            held.push(format!("{event:?} {:?} {} {}", event.kind, event.recorded_at, event.payload.get()));
        }
    }
    held.extend(pages(store, person).await?);
    Ok(held)
}

/// What comes in pages.
async fn pages(store: &dyn Store, person: &str) -> Result<Vec<String>, Failed> {
    let mut held = Vec::new();
    let mut after = None;
    loop {
        let query = MeasurementQuery { limit: 3, after, ..everything_of(person)? };
        let page = store.measurements(query).await?;
        after = page.next;
        held.push(format!("{page:?}"));
        if after.is_none() {
            break;
        }
    }
    let mut before = None;
    loop {
        let page = store.notifications(NotificationQuery { user: id(person)?, limit: 3, before }).await?;
        before = page.next;
        held.push(format!("{page:?}"));
        if before.is_none() {
            break;
        }
    }
    let query = AccessLogQuery { patient: id(person)?, from: None, to: None, before: None, limit: 1000 };
    let log = store.access_log(query).await?;
    held.push(format!("{:?}", log.iter().map(|entry| entry.seq).collect::<Vec<_>>()));
    Ok(held)
}

/// What belongs to nobody, and the whole trail. An erasure counts there what a database has besides, which every link after
/// it covers.
pub(super) async fn by_all(store: &dyn Store) -> Result<Vec<String>, Failed> {
    let mut revocations = store.revocations(Timestamp::from_micros(0)).await?;
    revocations.sort_by(|one, other| one.what.cmp(&other.what));
    let mut held = vec![format!("{:?} {revocations:?}", store.users().await?)];
    for name in 0..NAMES {
        held.push(format!("{:?}", store.api_token(Uuid::from_u128(name.into())).await?));
    }
    for mut entry in store.audit_after(0, u32::MAX).await? {
        if entry.record.action == AuditAction::Erased {
            entry.record.object = None;
        }
        held.push(format!("{} {:?}", entry.seq, entry.record));
    }
    Ok(held)
}
