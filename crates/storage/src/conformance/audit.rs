//! The audit trail.

use healthmate_care::audit::{CheckpointKey, FIRST_LINK, link};
use healthmate_care::{
    AuditAction, AuditEntry, AuditOutcome, AuditRecord, By, CareRelation, Clock, Role, Scopes,
};

use super::sample::{by, id, people, user};
use super::{Failed, Harness, Outcome};
use crate::AccessLogQuery;

async fn whole(harness: &Harness) -> Result<Vec<AuditEntry>, Failed> {
    Ok(harness.store()?.audit_after(0, 1000).await?)
}

/// Dense numbers from 1 on, and links that cover all before.
fn assert_chained(entries: &[AuditEntry]) {
    let mut previous = FIRST_LINK;
    for (seq, entry) in (1..).zip(entries) {
        assert_eq!(entry.seq, seq);
        assert_eq!(entry.link, link(&previous, seq, &entry.record), "record {seq}");
        previous = entry.link;
    }
}

/// Every field, every action, and pages of it.
pub async fn records_come_back_as_they_were_and_chained(harness: Harness) -> Outcome {
    let nora = user("n", Role::Nurse)?;
    let now = harness.clock.now();
    let full =
        By { break_glass: Some(harness.clock.uuid()), ..By::user(&nora, Some("2001:db8::1".parse()?), now) };
    let bys = [full, By::anonymous(None, now.plus_millis(1)), By::server(now), By::command_line(now)];
    let mut records = Vec::new();
    for (n, action) in AuditAction::ALL.iter().enumerate() {
        let record = AuditRecord::new(bys[n % bys.len()].clone(), *action);
        records.push(match n % 3 {
            0 => record.object("health:p").patient(&id("p")?).reason("own"),
            1 => record.outcome(AuditOutcome::Denied).reason("token_expired"),
            _ => record.outcome(AuditOutcome::Failed),
        });
    }
    let (first, rest) = records.split_at(3);
    harness.store()?.audit(first.to_vec()).await?;
    harness.store()?.audit(Vec::new()).await?;
    harness.store()?.audit(rest.to_vec()).await?;
    let entries = whole(&harness).await?;
    assert_chained(&entries);
    assert_eq!(entries.iter().map(|entry| entry.record.clone()).collect::<Vec<_>>(), records);
    assert_eq!(harness.store()?.audit_after(3, 2).await?, entries[3..5]);
    assert_eq!(harness.store()?.audit_after(entries.len() as u64, 2).await?, []);
    Ok(())
}

/// The record of a change is there when the change is, and only then.
pub async fn each_change_of_the_directory_is_recorded_and_no_refused_one(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let relation = CareRelation::new(id("p")?, id("n")?, harness.clock.now());
    store.add_care_relation(relation.clone(), by()).await?;
    store.set_active(&id("n")?, false, by()).await?;
    store.set_active(&id("n")?, true, by()).await?;
    store.remove_care_relation(&id("p")?, &id("n")?, by()).await?;
    store.set_role(&id("n")?, Role::Doctor, by()).await?;
    assert!(store.set_role(&id("p")?, Role::Doctor, by()).await.is_err());
    assert!(store.add_user(user("p", Role::Nurse)?, by()).await.is_err());
    assert!(store.set_active(&id("nobody")?, true, by()).await.is_err());
    assert!(store.remove_care_relation(&id("p")?, &id("n")?, by()).await.is_err());
    let unknown = CareRelation { member: id("nobody")?, ..relation };
    assert!(store.add_care_relation(unknown, by()).await.is_err());
    let entries = whole(&harness).await?;
    assert_chained(&entries);
    let said = entries.iter().map(|AuditEntry { record, .. }| {
        let patient = record.patient.as_ref().map_or("-", |patient| patient.as_str());
        format!("{} {} {patient}", record.action, record.object.as_deref().unwrap_or("-"))
    });
    let expected = [
        "user_added user:p -",
        "user_added user:q -",
        "user_added user:d p",
        "user_added user:n -",
        "access_granted user:n p",
        "user_disabled user:n -",
        "user_enabled user:n -",
        "access_ended user:n p",
        "role_changed user:n -",
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
    let granted = entries[4].record.reason.as_deref();
    assert_eq!(granted, Some(format!("{} {}/..", Scopes::DATA, harness.clock.now()).as_str()));
    Ok(())
}

/// Checkpoints are kept beside the trail, which says where it ends.
pub async fn checkpoints_are_kept(mut harness: Harness) -> Outcome {
    assert_eq!(harness.store()?.audit_head().await?, None);
    people(&harness).await?;
    let entries = whole(&harness).await?;
    let last = entries.last().ok_or("no records")?;
    assert_eq!(harness.store()?.audit_head().await?, Some((last.seq, last.link)));
    assert_eq!(harness.store()?.last_checkpoint().await?, None);
    let key = CheckpointKey::new(&[7; 32]);
    let signed = [1, last.seq].map(|seq| key.sign(seq, &last.link, harness.clock.now()));
    for checkpoint in &signed {
        harness.store()?.add_checkpoint(checkpoint.clone()).await?;
    }
    harness.reopen()?;
    let kept = harness.store()?.last_checkpoint().await?.ok_or("no checkpoint")?;
    assert_eq!(kept, signed[1]);
    assert!(kept.is_signed_by(&key.public()));
    Ok(())
}

/// The first record after a reopening is chained to the last one before it.
pub async fn the_chain_goes_on_after_a_reopening(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    harness.reopen()?;
    harness.store()?.set_active(&id("n")?, false, by()).await?;
    let entries = whole(&harness).await?;
    assert_eq!(entries.len(), 5);
    assert_chained(&entries);
    Ok(())
}

/// Those of one patient, within times, page by page.
pub async fn the_records_of_a_patient_come_newest_first(harness: Harness) -> Outcome {
    people(&harness).await?;
    let start = harness.clock.now();
    let read = |n: i64, patient: &str| -> Result<AuditRecord, Failed> {
        Ok(AuditRecord::new(By::server(start.plus_millis(n)), AuditAction::Read).patient(&id(patient)?))
    };
    let records = [read(1, "p")?, read(2, "q")?, read(3, "p")?, read(4, "p")?];
    harness.store()?.audit(records.to_vec()).await?;
    let all = AccessLogQuery { patient: id("p")?, from: Some(start), to: None, before: None, limit: 10 };
    let found = async |query: AccessLogQuery| -> Result<Vec<(u64, i64)>, Failed> {
        let entries = harness.store()?.access_log(query).await?;
        let millis = |at: healthmate_protocol::Timestamp| (at.as_micros() - start.as_micros()) / 1000;
        Ok(entries.iter().map(|entry| (entry.seq, millis(entry.record.by.at))).collect())
    };
    let newest = found(all.clone()).await?;
    let reads: Vec<_> = newest.iter().map(|(_, at)| *at).filter(|at| *at > 0).collect();
    assert_eq!(reads, [4, 3, 1]);
    let page = AccessLogQuery { before: Some(newest[0].0), limit: 1, ..all.clone() };
    assert_eq!(found(page).await?, [newest[1]]);
    let span =
        AccessLogQuery { from: Some(start.plus_millis(1)), to: Some(start.plus_millis(4)), ..all.clone() };
    assert_eq!(found(span).await?, [newest[1], newest[2]]);
    assert_eq!(found(AccessLogQuery { patient: id("nobody")?, ..all }).await?, []);
    Ok(())
}

/// However many records there are, and whatever a store does with old ones: what is found is what the trail holds.
pub async fn the_records_of_a_patient_are_found_in_a_long_trail(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let start = harness.clock.now();
    // The times do not follow the numbers, as where a clock was set.
    let read = |n: i64| -> Result<AuditRecord, Failed> {
        let record = AuditRecord::new(By::server(start.plus_millis(n * 7919 % 9000)), AuditAction::Read);
        Ok(if n % 5 == 4 { record } else { record.patient(&id(["p", "q"][usize::from(n % 3 == 0)])?) })
    };
    for batch in [0..4000, 4000..4200, 4200..8300, 8300..8700, 8700..9000] {
        harness.store()?.audit(batch.map(read).collect::<Result<_, _>>()?).await?;
    }
    let trail = harness.store()?.audit_after(0, 10_000).await?;
    let at = |millis: i64| Some(start.plus_millis(millis));
    for _ in 0..2 {
        for (from, to) in [(None, None), (at(1000), None), (None, at(1000)), (at(2500), at(2600))] {
            for (before, limit) in
                [(None, 9000), (None, 1), (Some(8300), 700), (Some(4100), 3), (Some(9), 40)]
            {
                let patient = id("p")?;
                let of_p = trail.iter().rev().filter(|entry| entry.record.patient.as_ref() == Some(&patient));
                let expected = of_p.filter(|entry| {
                    let at = entry.record.by.at;
                    from.is_none_or(|from| from <= at)
                        && to.is_none_or(|to| at < to)
                        && before.is_none_or(|before| entry.seq < before)
                });
                let expected: Vec<_> = expected.take(limit as usize).cloned().collect();
                let query = AccessLogQuery { patient, from, to, before, limit };
                let found = harness.store()?.access_log(query).await?;
                assert!(found == expected, "{from:?} {to:?} {before:?} {limit}");
            }
        }
        harness.reopen()?;
    }
    let of_p =
        trail.iter().filter(|entry| entry.record.patient.as_ref().is_some_and(|of| of.as_str() == "p"));
    let erased = harness.store()?.erase(&id("p")?, by()).await?;
    assert_eq!(erased.audit_kept, of_p.count() as u64 + 1, "and that of the erasure");
    Ok(())
}
