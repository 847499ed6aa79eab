//! Users and care teams.

use healthmate_care::{CareRelation, Clock, Relationship, Role, Scope, Scopes, User};

use super::sample::{beat, by, device, id, people, recording, user};
use super::{Failed, Harness, Outcome};
use crate::{CircleMember, Error, Manager};

fn relation(harness: &Harness, patient: &str, member: &str) -> Result<CareRelation, Failed> {
    let starts_at = harness.clock.now();
    Ok(CareRelation::new(id(patient)?, id(member)?, starts_at))
}

/// `add_user`, then `user`, for every role.
pub async fn a_user_is_found_as_it_was_added(harness: Harness) -> Outcome {
    people(&harness).await?;
    for role in Role::ALL {
        let name = format!("one-{role}");
        let added = if role == Role::Device { device(&name, "p")? } else { user(&name, role)? };
        harness.store()?.add_user(added.clone(), by()).await?;
        assert_eq!(harness.store()?.user(&added.id).await?, Some(added));
    }
    assert_eq!(harness.store()?.user(&id("nobody")?).await?, None);
    assert_eq!(harness.store()?.user(&id("P")?).await?, None, "ids are case-sensitive");
    Ok(())
}

/// The first user keeps the id.
pub async fn a_taken_id_is_refused_and_changes_nothing(harness: Harness) -> Outcome {
    people(&harness).await?;
    let before = harness.store()?.user(&id("n")?).await?;
    let refused = harness.store()?.add_user(user("n", Role::Admin)?, by()).await;
    assert_eq!(refused, Err(Error::Exists("user")));
    assert_eq!(harness.store()?.user(&id("n")?).await?, before);
    Ok(())
}

/// A device sends the measurements of a patient, and nothing else does.
pub async fn a_device_needs_a_patient(harness: Harness) -> Outcome {
    people(&harness).await?;
    let without = user("w", Role::Device)?;
    let no_device = User { device_of: Some(id("p")?), ..user("w", Role::Nurse)? };
    let table = [
        (device("w", "nobody")?, "patient"),
        (device("w", "n")?, "patient"),
        (without, "patient"),
        (no_device, "device"),
    ];
    for (refused, missing) in table {
        assert_eq!(harness.store()?.add_user(refused, by()).await, Err(Error::NotFound(missing)));
        assert_eq!(harness.store()?.user(&id("w")?).await?, None);
    }
    Ok(())
}

/// `users` lists all of them in the order of their ids' bytes.
pub async fn users_come_by_id(harness: Harness) -> Outcome {
    assert!(harness.store()?.users().await?.is_empty());
    for name in ["b", "a", "a-1", "B", "_x", "a.1"] {
        harness.store()?.add_user(user(name, Role::Patient)?, by()).await?;
    }
    let users = harness.store()?.users().await?;
    let ids: Vec<_> = users.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["B", "_x", "a", "a-1", "a.1", "b"]);
    assert_eq!(users.last(), Some(&user("b", Role::Patient)?));
    Ok(())
}

/// `set_active` of a known and of an unknown user.
pub async fn a_user_is_disabled_and_enabled_again(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    for active in [false, false, true] {
        store.set_active(&id("n")?, active, by()).await?;
        assert_eq!(store.user(&id("n")?).await?, Some(User { active, ..user("n", Role::Nurse)? }));
        assert_eq!(store.user(&id("p")?).await?, Some(user("p", Role::Patient)?), "no other user is touched");
    }
    assert_eq!(store.set_active(&id("nobody")?, false, by()).await, Err(Error::NotFound("user")));
    assert_eq!(store.user(&id("nobody")?).await?, None);
    Ok(())
}

/// `set_role`: those who look after others change theirs; what patients and devices are stays.
pub async fn a_user_gets_another_role(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    for role in [Role::Doctor, Role::Admin, Role::Caregiver, Role::Caregiver, Role::Nurse] {
        store.set_role(&id("n")?, role, by()).await?;
        let same = user("n", Role::Nurse)?;
        assert_eq!(store.user(&id("n")?).await?, Some(User { role, ..same }));
    }
    let version = store.directory_version().await?;
    for (who, role, stays) in [
        ("p", Role::Nurse, Role::Patient),
        ("p", Role::Patient, Role::Patient),
        ("d", Role::Doctor, Role::Device),
        ("n", Role::Patient, Role::Patient),
        ("n", Role::Device, Role::Device),
    ] {
        let before = store.user(&id(who)?).await?;
        let refused = store.set_role(&id(who)?, role, by()).await;
        assert_eq!(refused, Err(Error::RoleStays(stays)), "{who} {role}");
        assert_eq!(store.user(&id(who)?).await?, before);
    }
    assert_eq!(store.set_role(&id("nobody")?, Role::Nurse, by()).await, Err(Error::NotFound("user")));
    assert_eq!(store.directory_version().await?, version);
    Ok(())
}

/// `add_care_relation` again for the same two: the last one says all there is about it.
pub async fn a_care_relation_is_added_and_changed(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    assert_eq!(store.care_relation(&id("p")?, &id("n")?).await?, None);
    let first = relation(&harness, "p", "n")?;
    let starts_at = first.starts_at.plus_millis(5);
    let second = CareRelation { starts_at, ends_at: Some(starts_at.plus_millis(1)), ..first.clone() };
    let third = CareRelation {
        relation: Relationship::GeneralPractitioner,
        scopes: Scopes::from_iter([Scope::Alerts, Scope::Manage]),
        granted_by: Some(id("q")?),
        ..first.clone()
    };
    for wanted in [&first, &second, &third, &first] {
        store.add_care_relation(wanted.clone(), by()).await?;
        assert_eq!(store.care_relation(&id("p")?, &id("n")?).await?.as_ref(), Some(wanted));
        assert_eq!(store.care_team(&id("p")?).await?, std::slice::from_ref(wanted));
    }
    assert_eq!(store.care_relation(&id("n")?, &id("p")?).await?, None, "it has a direction");
    assert_eq!(store.care_relation(&id("q")?, &id("n")?).await?, None);
    Ok(())
}

/// Both must exist, and the patient must be one.
pub async fn a_care_relation_needs_a_patient_and_a_member(harness: Harness) -> Outcome {
    people(&harness).await?;
    for (patient, member, missing) in
        [("nobody", "n", "patient"), ("n", "p", "patient"), ("p", "nobody", "user")]
    {
        let refused = harness.store()?.add_care_relation(relation(&harness, patient, member)?, by()).await;
        assert_eq!(refused, Err(Error::NotFound(missing)), "{patient} and {member}");
        assert_eq!(harness.store()?.care_relation(&id(patient)?, &id(member)?).await?, None);
    }
    let granted = CareRelation { granted_by: Some(id("nobody")?), ..relation(&harness, "p", "n")? };
    assert_eq!(harness.store()?.add_care_relation(granted, by()).await, Err(Error::NotFound("user")));
    Ok(())
}

/// Every relation and every set of scopes comes back.
pub async fn what_a_relation_says_comes_back(harness: Harness) -> Outcome {
    people(&harness).await?;
    for bits in 0..=Scopes::ALL.bits() {
        let wanted = CareRelation {
            relation: Relationship::ALL[usize::from(bits) % Relationship::ALL.len()],
            scopes: Scopes::from_bits(bits).ok_or("a set of scopes")?,
            ..relation(&harness, "p", "n")?
        };
        harness.store()?.add_care_relation(wanted.clone(), by()).await?;
        assert_eq!(harness.store()?.care_relation(&id("p")?, &id("n")?).await?, Some(wanted));
    }
    Ok(())
}

/// `remove_care_relation` takes out that member, of that patient, and only once.
pub async fn a_care_relation_is_removed(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    for (patient, member) in [("p", "n"), ("p", "q"), ("q", "n")] {
        store.add_care_relation(relation(&harness, patient, member)?, by()).await?;
    }
    store.remove_care_relation(&id("p")?, &id("n")?, by()).await?;
    assert_eq!(store.care_relation(&id("p")?, &id("n")?).await?, None);
    assert_eq!(store.care_team(&id("p")?).await?, [relation(&harness, "p", "q")?]);
    assert_eq!(store.patients_of(&id("n")?).await?, [relation(&harness, "q", "n")?]);
    for (patient, member) in [("p", "n"), ("n", "q"), ("p", "nobody"), ("nobody", "n")] {
        let refused = store.remove_care_relation(&id(patient)?, &id(member)?, by()).await;
        assert_eq!(refused, Err(Error::NotFound("care relation")), "{patient} and {member}");
    }
    store.add_care_relation(relation(&harness, "p", "n")?, by()).await?;
    assert_eq!(store.care_team(&id("p")?).await?.len(), 2, "who was removed may come back");
    Ok(())
}

/// `care_team` by member, `patients_of` by patient.
pub async fn care_teams_and_patients_come_in_order(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    store.add_user(user("c", Role::Caregiver)?, by()).await?;
    for (patient, member) in [("q", "n"), ("p", "n"), ("p", "c"), ("p", "q")] {
        store.add_care_relation(relation(&harness, patient, member)?, by()).await?;
    }
    let team: Vec<_> = store.care_team(&id("p")?).await?.into_iter().map(|r| r.member).collect();
    assert_eq!(team, [id("c")?, id("n")?, id("q")?]);
    let patients: Vec<_> = store.patients_of(&id("n")?).await?.into_iter().map(|r| r.patient).collect();
    assert_eq!(patients, [id("p")?, id("q")?]);
    assert!(store.care_team(&id("n")?).await?.is_empty());
    assert!(store.patients_of(&id("p")?).await?.is_empty());
    assert!(store.patients_of(&id("nobody")?).await?.is_empty());
    Ok(())
}

/// `grant_access`, `end_access`: only while the manager is what the change was decided by; else nothing changes.
pub async fn a_care_team_is_changed_by_who_still_manages_it(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    store.add_user(user("c", Role::Caregiver)?, by()).await?;
    let place = CareRelation { scopes: Scopes::ALL, ..relation(&harness, "p", "n")? };
    store.add_care_relation(place.clone(), by()).await?;
    let patient = Manager { user: id("p")?, role: Role::Patient, place: None };
    let nurse = Manager { user: id("n")?, role: Role::Nurse, place: Some(place.clone()) };
    let wanted = relation(&harness, "p", "c")?;
    for manager in [&patient, &nurse] {
        store.grant_access(wanted.clone(), manager.clone(), by()).await?;
        assert_eq!(store.care_team(&id("p")?).await?, [wanted.clone(), place.clone()]);
        store.end_access(&id("p")?, &id("c")?, manager.clone(), by()).await?;
        assert_eq!(store.care_team(&id("p")?).await?, std::slice::from_ref(&place));
    }
    let missing = store.end_access(&id("p")?, &id("c")?, patient, by()).await;
    assert_eq!(missing, Err(Error::NotFound("care relation")));
    let elsewhere = store.grant_access(relation(&harness, "q", "c")?, nurse.clone(), by()).await;
    assert_eq!(elsewhere, Err(Error::Changed("manager")), "the place is in p's team");

    store.grant_access(wanted.clone(), nurse.clone(), by()).await?;
    let refused = async || {
        let before = (store.care_team(&id("p")?).await?, store.audit_after(0, 1000).await?.len());
        let granted = store.grant_access(place.clone(), nurse.clone(), by()).await;
        let ended = store.end_access(&id("p")?, &id("c")?, nurse.clone(), by()).await;
        assert_eq!((granted, ended), (Err(Error::Changed("manager")), Err(Error::Changed("manager"))));
        let after = (store.care_team(&id("p")?).await?, store.audit_after(0, 1000).await?.len());
        assert_eq!(after, before);
        Ok::<_, Failed>(())
    };
    let narrowed = CareRelation { scopes: Scopes::DATA, ..place.clone() };
    store.add_care_relation(narrowed, by()).await?;
    refused().await?;
    store.remove_care_relation(&id("p")?, &id("n")?, by()).await?;
    refused().await?;
    store.add_care_relation(place.clone(), by()).await?;
    store.set_role(&id("n")?, Role::Doctor, by()).await?;
    refused().await?;
    store.set_role(&id("n")?, Role::Nurse, by()).await?;
    store.set_active(&id("n")?, false, by()).await?;
    refused().await?;
    store.set_active(&id("n")?, true, by()).await?;
    store.end_access(&id("p")?, &id("c")?, nurse, by()).await?;
    Ok(())
}

/// `circle`: the patient, the patient's devices and the care team, each once, whatever their state.
pub async fn a_circle_holds_whoever_has_to_do_with_a_patient(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let alone = |user: User| CircleMember { user, relation: None };
    let (patient, own) = (user("p", Role::Patient)?, device("d", "p")?);
    assert_eq!(store.circle(&patient.id).await?, [alone(own.clone()), alone(patient.clone())]);
    store.add_user(user("c", Role::Caregiver)?, by()).await?;
    store.add_user(device("e", "q")?, by()).await?;
    store.set_active(&id("n")?, false, by()).await?;
    let now = harness.clock.now();
    let mut over = relation(&harness, "p", "c")?;
    over.ends_at = Some(now.plus_millis(-1));
    (over.relation, over.scopes) = (Relationship::Family, Scopes::NONE);
    store.add_care_relation(over.clone(), by()).await?;
    for (patient, member) in [("p", "n"), ("p", "e"), ("q", "n"), ("q", "p")] {
        store.add_care_relation(relation(&harness, patient, member)?, by()).await?;
    }
    let related = |user: User, relation| CircleMember { user, relation: Some(relation) };
    let disabled = User { active: false, ..user("n", Role::Nurse)? };
    let expected = [
        related(user("c", Role::Caregiver)?, over),
        alone(own.clone()),
        related(device("e", "q")?, relation(&harness, "p", "e")?),
        related(disabled, relation(&harness, "p", "n")?),
        alone(patient.clone()),
    ];
    assert_eq!(store.circle(&patient.id).await?, expected);
    // Own users may be in the care team besides, and still come once.
    for member in ["p", "d"] {
        store.add_care_relation(relation(&harness, "p", member)?, by()).await?;
    }
    let [former, _, foreign, nurse, _] = expected;
    let own = related(own, relation(&harness, "p", "d")?);
    let patient = related(patient, relation(&harness, "p", "p")?);
    assert_eq!(store.circle(&id("p")?).await?, [former, own, foreign, nurse, patient]);
    assert!(store.circle(&id("n")?).await?.is_empty(), "a nurse is no patient");
    assert!(store.circle(&id("nobody")?).await?.is_empty());
    Ok(())
}

/// Users and relations are there after a reopening.
pub async fn the_directory_outlives_a_reopening(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    harness.store()?.set_active(&id("d")?, false, by()).await?;
    harness.store()?.add_care_relation(relation(&harness, "p", "n")?, by()).await?;
    let before = harness.store()?.users().await?;
    harness.reopen()?;
    assert_eq!(harness.store()?.users().await?, before);
    assert_eq!(harness.store()?.user(&id("d")?).await?, Some(User { active: false, ..device("d", "p")? }));
    assert_eq!(harness.store()?.care_team(&id("p")?).await?, [relation(&harness, "p", "n")?]);
    let taken = harness.store()?.add_user(user("p", Role::Patient)?, by()).await;
    assert_eq!(taken, Err(Error::Exists("user")));
    Ok(())
}

/// Every change gives a number that was not there before; it survives a reopening.
pub async fn the_version_grows_with_every_change_of_the_directory(mut harness: Harness) -> Outcome {
    let mut seen = vec![harness.store()?.directory_version().await?];
    for name in ["p", "q"] {
        harness.store()?.add_user(user(name, Role::Patient)?, by()).await?;
        seen.push(harness.store()?.directory_version().await?);
    }
    for active in [false, true] {
        harness.store()?.set_active(&id("q")?, active, by()).await?;
        seen.push(harness.store()?.directory_version().await?);
    }
    harness.store()?.add_user(user("c", Role::Caregiver)?, by()).await?;
    seen.push(harness.store()?.directory_version().await?);
    harness.store()?.set_role(&id("c")?, Role::Nurse, by()).await?;
    seen.push(harness.store()?.directory_version().await?);
    let first = relation(&harness, "p", "q")?;
    let ended = CareRelation { ends_at: Some(first.starts_at), ..first.clone() };
    for relation in [first, ended] {
        harness.store()?.add_care_relation(relation, by()).await?;
        seen.push(harness.store()?.directory_version().await?);
    }
    harness.store()?.remove_care_relation(&id("p")?, &id("q")?, by()).await?;
    seen.push(harness.store()?.directory_version().await?);
    assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
    harness.reopen()?;
    assert_eq!(harness.store()?.directory_version().await?, seen[seen.len() - 1]);
    harness.store()?.add_user(user("r", Role::Patient)?, by()).await?;
    assert!(harness.store()?.directory_version().await? > seen[seen.len() - 1]);
    Ok(())
}

/// Measurements, the log, and what was refused leave it as it is.
pub async fn the_version_stays_where_the_directory_does(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let before = store.directory_version().await?;
    store.record(recording("p", "p", vec![beat(&harness, 0, 60.0)])?).await?;
    assert_eq!(store.trim(harness.clock.now().plus_millis(1), 10).await?, 1);
    store.check_writable().await?;
    assert!(store.add_user(user("p", Role::Patient)?, by()).await.is_err());
    assert!(store.set_active(&id("nobody")?, false, by()).await.is_err());
    assert!(store.add_care_relation(relation(&harness, "n", "p")?, by()).await.is_err());
    assert!(store.remove_care_relation(&id("p")?, &id("n")?, by()).await.is_err());
    assert_eq!(store.directory_version().await?, before);
    Ok(())
}
