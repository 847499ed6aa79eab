//! `erase`: what an erased patient leaves.

use healthmate_care::{AuditAction, BreakGlass, CareRelation, Clock, Measurement, Role, SignInMethod};
use healthmate_protocol::{
    NotificationData, NotificationId, NotificationKind, Offset, Priority, Topic, TopicKind, UserId,
};

use super::credentials::{passkey, token};
use super::notifications::{news, page};
use super::sample::{beat, beats, by, device, everything_of, health, id, logged, people, recording, user};
use super::{Failed, Harness, Outcome};
use crate::{
    Error, Idempotency, LogRange, NewNotification, NewPassword, NewSignIn, NotificationQuery, Opened,
    Opening, Recording, SignIn, SignInEnd, SignIns,
};

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

/// Credentials of the patient and of the patient's device: a password, a sign-in, an API token, a passkey each.
async fn let_in(harness: &Harness, user: &str) -> Outcome {
    let (store, now) = (harness.store()?, harness.clock.now());
    let end = SignInEnd { user: id(user)?, which: SignIns::All, reason: "logout", access_until: now };
    store.set_password(NewPassword::anyway("$".to_owned()), end, by()).await?;
    let sign_in = SignIn {
        id: harness.clock.uuid(),
        user: id(user)?,
        method: SignInMethod::Password,
        label: Some("phone".to_owned()),
        address: None,
        created_at: now,
        last_used_at: now,
        expires_at: now.plus_millis(1000),
    };
    let new = NewSignIn { sign_in, verified: None, family: [7; 32], current: [1; 32] };
    store.add_sign_in(new, by()).await?;
    store.add_api_token(token(harness, user)?, [1; 32], by()).await?;
    store.add_passkey(passkey(harness, user, user.as_bytes())?, by()).await?;
    Ok(())
}

/// Nobody comes in with what was the patient's or a device's, and each kind is counted; others keep theirs.
pub async fn what_let_an_erased_patient_in_is_gone(harness: Harness) -> Outcome {
    people(&harness).await?;
    for user in ["p", "d", "n"] {
        let_in(&harness, user).await?;
    }
    let store = harness.store()?;
    // What has ended goes, too.
    let end = SignInEnd { user: id("d")?, which: SignIns::All, reason: "logout", access_until: by().at };
    assert_eq!(store.end_sign_ins(end, by()).await?.len(), 1);
    let revoked = store.api_tokens(&id("p")?).await?[0].id;
    store.revoke_api_token(&id("p")?, revoked, by()).await?;
    let erased = store.erase(&id("p")?, by()).await?;
    for what in ["password", "sign_in", "api_token", "passkey"] {
        assert!(erased.rows.contains(&(what, 2)), "{what} {:?}", erased.rows);
    }
    assert_eq!(store.api_token(revoked).await?, None);
    for (user, left) in [("p", 0), ("d", 0), ("n", 1)] {
        let user_id = id(user)?;
        assert_eq!(store.password(&user_id).await?.iter().count(), left, "{user}");
        assert_eq!(store.sign_ins(&user_id).await?.len(), left, "{user}");
        assert_eq!(store.api_tokens(&user_id).await?.len(), left, "{user}");
        assert_eq!(store.passkeys(&user_id).await?.len(), left, "{user}");
        assert_eq!(store.passkey(user.as_bytes()).await?.iter().count(), left, "{user}");
    }
    Ok(())
}

/// Also what was told about others, in the list and in the log; it is no patient of whom anything is left to tell.
pub async fn what_a_device_was_told_goes_with_its_patient(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let about_nobody = NewNotification { patient: None, ..news(&harness, "d", "news")? };
    let told = vec![news(&harness, "d", "opened")?, about_nobody, news(&harness, "n", "opened")?];
    harness.store()?.notify(told).await?;
    let erased = harness.store()?.erase(&id("p")?, by()).await?;
    for (what, rows) in [("notification", 3), ("event", 2)] {
        assert!(erased.rows.contains(&(what, rows)), "{what} {:?}", erased.rows);
    }
    for _ in 0..2 {
        let (store, topic) = (harness.store()?, Topic::new(TopicKind::Notifications, id("d")?));
        assert_eq!(page(&harness, "d", 10, None).await?.notifications, []);
        assert_eq!(page(&harness, "d", 10, None).await?.unseen, 0);
        assert_eq!(store.read_after(&topic, Offset::START, 10).await?.len(), 0);
        assert_eq!(store.range(&topic).await?, LogRange { oldest: Offset(3), head: Offset(2) });
        assert_eq!(page(&harness, "n", 10, None).await?.notifications.len(), 1);
        harness.reopen()?;
    }
    Ok(())
}

/// Emergency accesses to the patient, whoever held them, and the answers that the patient's device was given.
pub async fn accesses_and_answers_of_an_erased_patient_are_gone(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (store, starts_at) = (harness.store()?, harness.clock.now());
    for patient in ["p", "q"] {
        let ends_at = starts_at.plus_millis(1000);
        let (id, patient, member) = (harness.clock.uuid(), id(patient)?, id("n")?);
        let access = BreakGlass { id, patient, member, starts_at, ends_at };
        let (reason, notifications) = ("found unconscious".to_owned(), Vec::new());
        let opening = Opening { access, reason, notifications, at_once: 9, per_day: 9, day_began: starts_at };
        assert_eq!(store.break_glass(opening, by()).await?, Opened::Yes);
    }
    let idempotency = Some(Idempotency { key: "k".to_owned(), digest: [1; 32] });
    let keyed = Recording { idempotency, ..recording("p", "d", vec![beat(&harness, 0, 60.0)])? };
    store.record(keyed).await?;
    let erased = store.erase(&id("p")?, by()).await?;
    for what in ["break_glass", "idempotency"] {
        assert!(erased.rows.contains(&(what, 1)), "{what} {:?}", erased.rows);
    }
    assert!(store.break_glasses_of(&id("p")?, 10).await?.is_empty());
    assert_eq!(store.break_glass_between(&id("p")?, &id("n")?).await?, None);
    let held = store.break_glasses_by(&id("n")?, starts_at).await?;
    assert_eq!(held.iter().map(|access| access.patient.as_str()).collect::<Vec<_>>(), ["q"]);
    let ended = store.record_ended_break_glasses(starts_at.plus_millis(1000), 10).await?;
    assert_eq!(ended.len(), 1, "what is gone does not end");
    assert_eq!(store.forget_idempotency_keys(starts_at.plus_millis(1), 10).await?, 0);
    Ok(())
}
