//! `erase`: what an erased patient leaves.

use healthmate_care::{AuditAction, CareRelation, Clock, Measurement, Role};
use healthmate_protocol::{
    NotificationData, NotificationId, NotificationKind, Offset, Priority, Topic, TopicKind, UserId,
};

use super::sample::{beat, beats, by, device, everything_of, health, id, logged, people, recording, user};
use super::{Failed, Harness, Outcome};
use crate::{Error, LogRange, NewNotification, NotificationQuery};

/// The patient `p` with a device, a care team, measurements, and one of them with words.
async fn furnish(harness: &Harness) -> Outcome {
    people(harness).await?;
    let store = harness.store()?;
    store.add_care_relation(CareRelation::new(id("p")?, id("n")?, harness.clock.now()), by()).await?;
    store.add_care_relation(CareRelation::new(id("q")?, id("n")?, harness.clock.now()), by()).await?;
    beats(harness, "p", 2).await?;
    beats(harness, "q", 1).await?;
    let worded = Measurement { device: Some("a cuff".to_owned()), ..beat(harness, 1, 70.0) };
    store.record(recording("p", "d", vec![worded])?).await?;
    let about = |name: &str, user: UserId, patient: Option<UserId>| {
        Ok::<_, Failed>(NewNotification {
            id: NotificationId::new(name)?,
            user,
            kind: NotificationKind::BreakGlass,
            priority: Priority::Urgent,
            title: "Opened".to_owned(),
            body: "somebody opened Pat".to_owned(),
            patient,
            expires_at: None,
        })
    };
    let told =
        [about("1", id("n")?, Some(id("p")?))?, about("2", id("p")?, None)?, about("3", id("n")?, None)?];
    store.notify(told.into()).await?;
    Ok(())
}

/// What the nurse was told: each body, in the list and in the log.
async fn told(harness: &Harness) -> Result<Vec<String>, Failed> {
    let store = harness.store()?;
    let query = NotificationQuery { user: id("n")?, limit: 10, before: None };
    let page = store.notifications(query).await?;
    let mut bodies: Vec<_> = page.notifications.into_iter().map(|told| told.data.body).collect();
    let topic = Topic::new(TopicKind::Notifications, id("n")?);
    for event in store.read_after(&topic, Offset::START, 10).await? {
        bodies.push(serde_json::from_str::<NotificationData>(event.payload.get())?.body);
    }
    Ok(bodies)
}

/// Nothing is found of the patient any more, also after a reopening; others are as before.
pub async fn nothing_is_found_of_an_erased_patient(mut harness: Harness) -> Outcome {
    furnish(&harness).await?;
    let version = harness.store()?.directory_version().await?;
    let erased = harness.store()?.erase(&id("p")?, by()).await?;
    assert!(!erased.before);
    for (what, rows) in
        [("measurement", 3), ("event", 4), ("notification", 2), ("care_relation", 1), ("user", 2)]
    {
        assert!(erased.rows.contains(&(what, rows)), "{what} {:?}", erased.rows);
    }
    for _ in 0..2 {
        let store = harness.store()?;
        assert!(store.directory_version().await? > version);
        for gone in ["p", "d"] {
            assert_eq!(store.user(&id(gone)?).await?, None, "{gone}");
        }
        assert_eq!(store.users().await?.len(), 2);
        assert_eq!(store.circle(&id("p")?).await?, []);
        assert_eq!(store.care_team(&id("p")?).await?, []);
        assert_eq!(store.patients_of(&id("n")?).await?.len(), 1);
        assert_eq!(store.measurements(everything_of("p")?).await?.measurements, []);
        assert_eq!(logged(&harness, "p").await?, Vec::<u64>::new());
        assert_eq!(store.range(&health("p")?).await?, LogRange { oldest: Offset(4), head: Offset(3) });
        assert_eq!(logged(&harness, "q").await?, [1]);
        let (kept, gone) = ("somebody opened Pat".to_owned(), "The patient was erased.".to_owned());
        assert_eq!(told(&harness).await?, [kept.clone(), gone.clone(), gone, kept]);
        harness.reopen()?;
    }
    Ok(())
}

/// The ids stay taken, nothing is written of an erased patient, and nobody brings one back.
pub async fn an_erased_patient_does_not_come_back(harness: Harness) -> Outcome {
    furnish(&harness).await?;
    let store = harness.store()?;
    store.erase(&id("p")?, by()).await?;
    assert_eq!(store.add_user(user("p", Role::Patient)?, by()).await, Err(Error::Exists("user")));
    assert_eq!(store.add_user(user("d", Role::Nurse)?, by()).await, Err(Error::Exists("user")));
    assert_eq!(store.add_user(device("d2", "p")?, by()).await, Err(Error::NotFound("patient")));
    assert_eq!(store.set_active(&id("p")?, true, by()).await, Err(Error::NotFound("user")));
    let again = recording("p", "p", vec![beat(&harness, 2, 70.0)])?;
    assert_eq!(store.record(again).await, Err(Error::NotFound("patient")));
    Ok(())
}

/// Erasing is on record once, with counts; the records about the patient stay. A second time does no harm and says so.
pub async fn an_erasure_is_on_record(harness: Harness) -> Outcome {
    furnish(&harness).await?;
    let store = harness.store()?;
    for unknown in ["nobody", "n", "d"] {
        assert_eq!(store.erase(&id(unknown)?, by()).await, Err(Error::NotFound("patient")), "{unknown}");
    }
    let before = store.audit_after(0, 100).await?.len();
    let first = store.erase(&id("p")?, by()).await?;
    let trail = store.audit_after(0, 100).await?;
    assert_eq!(trail.len(), before + 1, "nothing is lost, and refusals are no erasures");
    let record = &trail[before].record;
    assert_eq!((record.action, record.patient.clone()), (AuditAction::Erased, Some(id("p")?)));
    assert!(
        record.object.as_deref().is_some_and(|counts| counts.contains("measurement:3 event:4")),
        "{record:?}"
    );
    let p = Some(id("p")?);
    let of_p = trail.iter().filter(|entry| entry.record.patient == p).count();
    assert_eq!(first.audit_kept, of_p as u64);
    let second = store.erase(&id("p")?, by()).await?;
    assert_eq!((second.before, second.at, second.rows), (true, first.at, Vec::new()));
    assert_eq!(store.audit_after(0, 100).await?.len(), trail.len());
    Ok(())
}
