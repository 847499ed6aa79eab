use uuid::Uuid;

use super::*;
use crate::team::Scopes;

fn id(text: &str) -> UserId {
    UserId::new(text).expect("valid")
}

fn user(name: &str, role: Role) -> User {
    let device_of = (role == Role::Device).then(|| id("p"));
    User { id: id(name), role, name: name.to_owned(), device_of, active: true }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn relation(member: &str, scopes: Scopes, ends_at: Option<i64>) -> CareRelation {
    CareRelation { scopes, ends_at: ends_at.map(at), ..CareRelation::new(id("p"), id(member), at(10)) }
}

fn emergency(member: &str) -> BreakGlass {
    BreakGlass { id: Uuid::nil(), patient: id("p"), member: id(member), starts_at: at(12), ends_at: at(30) }
}

#[test]
fn a_relation_to_one_patient_opens_no_other_and_serves_no_other_member() {
    let nurse = user("n", Role::Nurse);
    let (relation, access) = (relation("n", Scopes::ALL, None), emergency("n"));
    let grants = Grants { relation: Some(&relation), break_glass: Some(&access) };
    for action in Action::ALL.into_iter().filter(|action| action.scope().is_some()) {
        let may = |user: &User, patient| decide(user, action, &id(patient), &grants, at(15));
        assert!(may(&nurse, "p").is_allowed(), "{action}");
        assert_eq!(may(&nurse, "q"), Decision::Denied(Reason::NotInCareTeam), "{action}");
        assert_eq!(may(&user("m", Role::Nurse), "p"), Decision::Denied(Reason::NotInCareTeam), "{action}");
    }
}

#[test]
fn access_lasts_as_long_as_the_last_of_what_carries_it() {
    let doctor = user("d", Role::Doctor);
    let access = emergency("d");
    let decided = |relation: Option<&CareRelation>, emergency: bool, now| {
        let grants = Grants { relation, break_glass: Some(&access).filter(|_| emergency) };
        decide(&doctor, Action::ReadMeasurements, &id("p"), &grants, at(now))
    };
    let until = |second, then| Some(Until { at: at(second), then });
    let allowed = |reason, until| Decision::Allowed { reason, until };
    let (open, short) = (relation("d", Scopes::DATA, None), relation("d", Scopes::DATA, Some(20)));
    let long = relation("d", Scopes::DATA, Some(40));
    assert_eq!(decided(Some(&open), true, 15), allowed(Reason::CareTeam, None));
    assert_eq!(decided(Some(&short), false, 15), allowed(Reason::CareTeam, until(20, Reason::Ended)));
    assert_eq!(decided(Some(&short), true, 15), allowed(Reason::CareTeam, until(30, Reason::BreakGlassOver)));
    assert_eq!(decided(Some(&long), true, 15), allowed(Reason::CareTeam, until(40, Reason::Ended)));
    assert_eq!(
        decided(Some(&short), true, 20),
        allowed(Reason::BreakGlass, until(30, Reason::BreakGlassOver))
    );
    assert_eq!(decided(Some(&short), true, 30), Decision::Denied(Reason::Ended));
    assert_eq!(decided(None, true, 11), Decision::Denied(Reason::NotInCareTeam), "not begun");
    assert_eq!(decided(None, true, 30), Decision::Denied(Reason::BreakGlassOver));
}

#[test]
fn a_place_that_has_begun_when_emergency_access_ends_takes_over() {
    let doctor = user("d", Role::Doctor);
    let access = emergency("d");
    let until = |scopes, starts_at, ends_at| {
        let relation = CareRelation { starts_at: at(starts_at), ..relation("d", scopes, ends_at) };
        let grants = Grants { relation: Some(&relation), break_glass: Some(&access) };
        let decision = decide(&doctor, Action::ReadMeasurements, &id("p"), &grants, at(15));
        assert_eq!(decision.reason(), Reason::BreakGlass);
        decision.until().map(|until| (until.at, until.then))
    };
    let over = Some((at(30), Reason::BreakGlassOver));
    assert_eq!(until(Scopes::DATA, 30, None), None);
    assert_eq!(until(Scopes::DATA, 20, Some(40)), Some((at(40), Reason::Ended)));
    assert_eq!(until(Scopes::DATA, 20, Some(30)), over);
    assert_eq!(until(Scopes::DATA, 31, None), over);
    assert_eq!(until(Scopes::NONE, 20, None), over);
}

#[test]
fn who_is_no_longer_a_doctor_has_no_emergency_access() {
    let access = emergency("d");
    let grants = Grants { relation: None, break_glass: Some(&access) };
    for role in Role::ALL {
        let user = user("d", role);
        let decision = decide(&user, Action::Alerts, &id("p"), &grants, at(15));
        assert_eq!(decision.is_allowed(), matches!(role, Role::Doctor | Role::Nurse), "{role}");
    }
}

#[test]
fn the_disabled_may_nothing() {
    for role in Role::ALL {
        let user = User { active: false, ..user("p", role) };
        let relation = relation("p", Scopes::ALL, None);
        let grants = Grants { relation: Some(&relation), break_glass: None };
        for action in Action::ALL {
            let decision = decide(&user, action, &id("p"), &grants, at(15));
            assert_eq!(decision, Decision::Denied(Reason::Inactive), "{role} {action}");
        }
    }
}

#[test]
fn words_are_stable_and_unlike() {
    for action in Action::ALL {
        assert_eq!(action.as_str().parse(), Ok(action));
    }
    let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}
