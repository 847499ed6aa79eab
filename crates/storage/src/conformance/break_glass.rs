//! Patients who were opened in an emergency.

use healthmate_care::{AuditAction, BreakGlass, By, Clock, Role};
use healthmate_protocol::Timestamp;

use super::notifications::{news, titles};
use super::sample::{by, id, people, user};
use super::{Failed, Harness, Outcome};
use crate::{Error, Opened, Opening};

const MINUTE: i64 = 60_000;

/// `member` opens `patient` now, for so many minutes, and `p` is told.
fn opening(harness: &Harness, patient: &str, member: &str, minutes: i64) -> Result<Opening, Failed> {
    let starts_at = harness.clock.now();
    let access = BreakGlass {
        id: harness.clock.uuid(),
        patient: id(patient)?,
        member: id(member)?,
        starts_at,
        ends_at: starts_at.plus_millis(minutes * MINUTE),
    };
    Ok(Opening {
        access,
        reason: "found «unconscious»".to_owned(),
        notifications: vec![news(harness, "p", "opened")?],
        at_once: 3,
        per_day: 10,
        day_began: starts_at.plus_millis(-24 * 60 * MINUTE),
    })
}

async fn open(harness: &Harness, opening: &Opening) -> Result<Opened, Error> {
    let store = harness.store().map_err(|_| Error::NotFound("store"))?;
    store.break_glass(opening.clone(), By { at: opening.access.starts_at, ..by() }).await
}

/// What the trail says of break-glass: `action member patient access`.
async fn trail(harness: &Harness) -> Result<Vec<String>, Failed> {
    let entries = harness.store()?.audit_after(0, 1000).await?;
    let kinds = [AuditAction::BreakGlassStarted, AuditAction::BreakGlassEnded];
    let of = entries.into_iter().filter(|entry| kinds.contains(&entry.record.action));
    let said = of.map(|entry| {
        let record = entry.record;
        let patient = record.patient.map_or_else(String::new, |patient| patient.to_string());
        let access = record.by.break_glass.map_or_else(String::new, |access| access.to_string());
        let (actor, at) = (record.by.actor.kind(), record.by.at);
        format!(
            "{} {} {patient} {access} by {actor} at {at}",
            record.action,
            record.object.unwrap_or_default()
        )
    });
    Ok(said.collect())
}

fn said(action: &str, access: &BreakGlass, actor: &str, at: Timestamp) -> String {
    format!("{action} user:{} {} {} by {actor} at {at}", access.member, access.patient, access.id)
}

/// `break_glass`: the access, its record, the notification and the directory's version come together.
pub async fn a_patient_is_opened_and_everybody_told(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let before = harness.store()?.directory_version().await?;
    let opening = opening(&harness, "p", "n", 60)?;
    assert_eq!(open(&harness, &opening).await?, Opened::Yes);
    harness.reopen()?;
    let store = harness.store()?;
    assert!(store.directory_version().await? > before);
    let now = harness.clock.now();
    let [opened] = &store.break_glasses_of(&id("p")?, 10).await?[..] else { return Err("not one".into()) };
    assert_eq!((&opened.access, &opened.reason), (&opening.access, &opening.reason));
    assert_eq!(store.break_glass_between(&id("p")?, &id("n")?).await?.as_ref(), Some(&opening.access));
    assert_eq!(store.break_glasses_by(&id("n")?, now).await?, std::slice::from_ref(&opening.access));
    assert_eq!(titles(&harness, "p").await?, ["opened"]);
    assert_eq!(trail(&harness).await?, [said("break_glass_started", &opening.access, "command_line", now)]);
    Ok(())
}

/// `break_glass` of, by or with news for somebody unknown leaves nothing behind.
pub async fn a_refused_opening_leaves_nothing_behind(harness: Harness) -> Outcome {
    people(&harness).await?;
    let before = harness.store()?.directory_version().await?;
    let mut stranger = opening(&harness, "p", "n", 60)?;
    stranger.notifications.push(news(&harness, "nobody", "opened")?);
    let cases = [
        (opening(&harness, "n", "n", 60)?, "patient"),
        (opening(&harness, "nobody", "n", 60)?, "patient"),
        (opening(&harness, "p", "nobody", 60)?, "user"),
        (stranger, "user"),
    ];
    for (opening, missing) in cases {
        assert_eq!(open(&harness, &opening).await, Err(Error::NotFound(missing)));
    }
    let mut full = opening(&harness, "p", "n", 60)?;
    full.at_once = 0;
    assert_eq!(open(&harness, &full).await?, Opened::TooManyAtOnce);
    (full.at_once, full.per_day) = (1, 0);
    assert_eq!(open(&harness, &full).await?, Opened::TooManyADay);
    assert_eq!(titles(&harness, "p").await?, Vec::<String>::new());
    assert_eq!(trail(&harness).await?, Vec::<String>::new());
    assert!(harness.store()?.break_glasses_of(&id("p")?, 10).await?.is_empty());
    assert_eq!(harness.store()?.directory_version().await?, before);
    Ok(())
}

/// `break_glass` with an id that is taken, its own or that of somebody who is told, changes nothing.
pub async fn an_access_is_opened_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let first = opening(&harness, "p", "n", 60)?;
    assert_eq!(open(&harness, &first).await?, Opened::Yes);
    let before = harness.store()?.directory_version().await?;
    let again = first.clone();
    assert_eq!(open(&harness, &again).await, Err(Error::Exists("break-glass access")));
    let told = Opening { notifications: first.notifications.clone(), ..opening(&harness, "q", "n", 30)? };
    assert_eq!(open(&harness, &told).await, Err(Error::Exists("notification")));
    let store = harness.store()?;
    assert_eq!(store.directory_version().await?, before);
    assert_eq!(store.break_glasses_by(&id("n")?, harness.clock.now()).await?, [first.access]);
    assert_eq!((titles(&harness, "p").await?.len(), trail(&harness).await?.len()), (1, 1));
    Ok(())
}

/// The limits hold at their number and not one before: each member has their own, and time gives room again.
pub async fn limits_of_openings_hold_and_end(harness: Harness) -> Outcome {
    people(&harness).await?;
    harness.store()?.add_user(user("e", Role::Doctor)?, by()).await?;
    let attempt = async |member: &str| {
        let mut opening = opening(&harness, "p", member, 60)?;
        (opening.at_once, opening.per_day) = (2, 3);
        Ok::<_, Failed>(open(&harness, &opening).await?)
    };
    assert_eq!([attempt("n").await?, attempt("n").await?], [Opened::Yes, Opened::Yes]);
    assert_eq!(attempt("n").await?, Opened::TooManyAtOnce);
    assert_eq!(attempt("e").await?, Opened::Yes, "of another member");
    harness.clock.advance_millis(60 * MINUTE - 1);
    assert_eq!(attempt("n").await?, Opened::TooManyAtOnce, "until the last moment");
    harness.clock.advance_millis(1);
    assert_eq!(attempt("n").await?, Opened::Yes);
    assert_eq!(attempt("n").await?, Opened::TooManyADay);
    harness.clock.advance_millis(23 * 60 * MINUTE);
    assert_eq!(attempt("n").await?, Opened::TooManyADay, "a day is 24 hours, its first moment included");
    harness.clock.advance_millis(1);
    assert_eq!(attempt("n").await?, Opened::Yes);
    Ok(())
}

/// `end_break_glass` ends an access once.
pub async fn an_access_is_ended_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let opening = opening(&harness, "p", "n", 60)?;
    open(&harness, &opening).await?;
    let before = harness.store()?.directory_version().await?;
    harness.clock.advance_millis(5 * MINUTE);
    let now = harness.clock.now();
    let end = async |at| {
        harness
            .store()
            .map_err(|_| Error::NotFound("store"))?
            .end_break_glass(opening.access.id, By { at, ..by() })
            .await
    };
    assert_eq!(end(now).await, Ok(true));
    let after = harness.store()?.directory_version().await?;
    assert!(after > before);
    assert_eq!([end(now).await, end(now.plus_millis(1)).await], [Ok(false), Ok(false)]);
    let unknown = harness.store()?.end_break_glass(harness.clock.uuid(), by()).await;
    assert_eq!(unknown, Err(Error::NotFound("break-glass access")));
    let access = BreakGlass { ends_at: now, ..opening.access.clone() };
    let store = harness.store()?;
    assert_eq!(store.break_glass_between(&id("p")?, &id("n")?).await?, Some(access.clone()));
    assert_eq!(store.break_glasses_by(&id("n")?, now).await?, []);
    assert_eq!(store.record_ended_break_glasses(now.plus_millis(60 * MINUTE), 10).await?, []);
    assert_eq!(store.directory_version().await?, after);
    let started = said("break_glass_started", &access, "command_line", access.starts_at);
    assert_eq!(trail(&harness).await?, [started, said("break_glass_ended", &access, "command_line", now)]);
    Ok(())
}

/// `record_ended_break_glasses` writes each end once, the oldest first, also after a reopening.
pub async fn ends_are_recorded_once(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let openings = [
        opening(&harness, "p", "n", 30)?,
        opening(&harness, "q", "n", 10)?,
        opening(&harness, "p", "n", 20)?,
    ];
    for opening in &openings {
        assert_eq!(open(&harness, opening).await?, Opened::Yes);
    }
    let [third, first, second] = openings.map(|opening| opening.access);
    let store = harness.store()?;
    assert_eq!(store.break_glass_between(&id("p")?, &id("n")?).await?.as_ref(), Some(&third));
    let newest: Vec<_> =
        store.break_glasses_of(&id("p")?, 1).await?.into_iter().map(|opened| opened.access.id).collect();
    assert_eq!(newest, [second.id.max(third.id)]);
    assert_eq!(store.record_ended_break_glasses(first.ends_at.plus_millis(-1), 10).await?, []);
    assert_eq!(store.record_ended_break_glasses(second.ends_at, 1).await?, std::slice::from_ref(&first));
    harness.reopen()?;
    let store = harness.store()?;
    let (now, version) = (third.ends_at.plus_millis(7), store.directory_version().await?);
    assert_eq!(store.record_ended_break_glasses(now, 10).await?, [second.clone(), third.clone()]);
    assert_eq!(store.record_ended_break_glasses(now, 10).await?, []);
    assert_eq!(store.directory_version().await?, version, "what is over changes for nobody");
    let ended = [
        said("break_glass_ended", &first, "server", second.ends_at),
        said("break_glass_ended", &second, "server", now),
        said("break_glass_ended", &third, "server", now),
    ];
    assert_eq!(trail(&harness).await?[3..], ended);
    assert_eq!(store.end_break_glass(second.id, By { at: now, ..by() }).await, Ok(false));
    Ok(())
}
