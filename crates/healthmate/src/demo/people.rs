//! Who lives in the demo.

use healthmate_care::{By, CareRelation, Role, User};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::{Directory, Error};

/// Someone or something of the demo. The ids begin with `demo-`: the server gives away tokens for no others.
struct Person {
    id: &'static str,
    role: Role,
    name: &'static str,
    device_of: Option<&'static str>,
    /// What one sees when signed in.
    sees: &'static str,
}

const fn person(id: &'static str, role: Role, name: &'static str, sees: &'static str) -> Person {
    Person { id, role, name, device_of: None, sees }
}

const fn device(id: &'static str, patient: &'static str, name: &'static str) -> Person {
    Person { id, role: Role::Device, name, device_of: Some(patient), sees: "" }
}

/// Patients come before their devices.
const PEOPLE: &[Person] = &[
    person("demo-nora", Role::Nurse, "Nora Lind", "sees Ana, Ben and Min-ji"),
    person("demo-dan", Role::Doctor, "Dan Weber", "sees Ana"),
    person("demo-carl", Role::Caregiver, "Carl Okafor", "sees Ben, his father"),
    person("demo-ana", Role::Patient, "Ana Ruiz", "her heart rate, beat by beat, and her ECG"),
    person("demo-ben", Role::Patient, "Ben Okafor", "his glucose, an hour in a minute"),
    person("demo-cho", Role::Patient, "Cho Min-ji", "her glucose, an hour in a minute"),
    person("demo-eli", Role::Patient, "Eli Stern", "nothing yet; nobody cares for him"),
    person("demo-ada", Role::Admin, "Ada Novak", "no health data"),
    device("demo-ana-strap", "demo-ana", "Ana's chest strap"),
    device("demo-ana-patch", "demo-ana", "Ana's ECG patch"),
    device("demo-ben-sensor", "demo-ben", "Ben's glucose sensor"),
    device("demo-cho-sensor", "demo-cho", "Min-ji's glucose sensor"),
];

/// Patients and the members of their care teams.
const CARE: &[(&str, &[&str])] = &[
    ("demo-ana", &["demo-nora", "demo-dan"]),
    ("demo-ben", &["demo-nora", "demo-carl"]),
    ("demo-cho", &["demo-nora"]),
];

/// The people to sign in as, a line each.
pub(crate) fn sign_ins() -> String {
    let line = |person: &Person| {
        let Person { id, role, name, sees, .. } = person;
        format!("  {name:<13}{:<11}{id:<11}{sees}\n", role.as_str())
    };
    let people = PEOPLE.iter().filter(|person| person.role != Role::Device);
    people.map(line).collect::<Vec<_>>().concat()
}

/// Adds the demo's people and care teams where they are missing. Who was changed or disabled stays so.
///
/// # Errors
/// If the store cannot be read or written.
pub(crate) async fn seed(store: &dyn Directory, now: Timestamp) -> anyhow::Result<()> {
    let by = By::server(now);
    for person in PEOPLE {
        let user = User {
            id: person.id.parse()?,
            role: person.role,
            name: person.name.to_owned(),
            device_of: person.device_of.map(str::parse).transpose()?,
            active: true,
        };
        match store.add_user(user, by.clone()).await {
            Ok(()) | Err(Error::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (patient, members) in CARE {
        let patient: UserId = patient.parse()?;
        for member in *members {
            let member: UserId = member.parse()?;
            if store.care_relation(&patient, &member).await?.is_none() {
                let relation = CareRelation::new(patient.clone(), member, now);
                store.add_care_relation(relation, by.clone()).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use healthmate_care::{Action, Clock, Grants, ManualClock, decide};
    use healthmate_server::http::DEMO_PREFIX;
    use healthmate_storage::MemoryStore;

    use super::*;

    fn id(text: &str) -> UserId {
        text.parse().expect("valid")
    }

    #[test]
    fn the_server_gives_tokens_for_all_of_them() {
        assert!(PEOPLE.iter().all(|person| person.id.starts_with(DEMO_PREFIX)));
    }

    #[tokio::test]
    async fn seeding_twice_is_seeding_once_and_undoes_nothing() {
        let clock = Arc::new(ManualClock::new("2026-11-23T12:00:00Z".parse().expect("valid")));
        let store = MemoryStore::new(clock.clone());
        seed(&store, clock.now()).await.expect("seeded");
        store.set_active(&id("demo-dan"), false, By::command_line(clock.now())).await.expect("disabled");
        let first =
            (store.users().await.expect("read"), store.care_team(&id("demo-ana")).await.expect("read"));
        clock.advance_millis(60_000);
        seed(&store, clock.now()).await.expect("seeded again");
        let again =
            (store.users().await.expect("read"), store.care_team(&id("demo-ana")).await.expect("read"));
        assert_eq!(first, again);
        assert_eq!(first.0.len(), PEOPLE.len());
    }

    #[tokio::test]
    async fn everyone_sees_what_the_sign_ins_say() {
        let clock = Arc::new(ManualClock::new("2026-11-23T12:00:00Z".parse().expect("valid")));
        let store = MemoryStore::new(clock.clone());
        seed(&store, clock.now()).await.expect("seeded");
        let patients = ["demo-ana", "demo-ben", "demo-cho", "demo-eli"];
        for (who, seen) in [
            ("demo-nora", [true, true, true, false]),
            ("demo-dan", [true, false, false, false]),
            ("demo-carl", [false, true, false, false]),
            ("demo-ada", [false, false, false, false]),
            ("demo-eli", [false, false, false, true]),
        ] {
            let user = store.user(&id(who)).await.expect("read").expect("seeded");
            for (patient, seen) in patients.iter().zip(seen) {
                let relation = store.care_relation(&id(patient), &user.id).await.expect("read");
                let grants = Grants { relation: relation.as_ref(), break_glass: None };
                let decision = decide(&user, Action::ReadMeasurements, &id(patient), &grants, clock.now());
                assert_eq!(decision.is_allowed(), seen, "{who} and {patient}");
            }
        }
    }
}
