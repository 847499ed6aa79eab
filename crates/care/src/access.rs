//! Who may do what: one pure function that everything asks.

use healthmate_protocol::{Timestamp, UserId};

use crate::user::{CareRelation, Role, User};

/// What someone wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hear a patient's measurements, live or from the log, or read their history.
    ReadMeasurements,
    /// Store measurements of a patient.
    WriteMeasurements,
}

/// What the policy says, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, because of this.
    Allowed(Reason),
    /// No, because of this.
    Denied(Reason),
}

impl Decision {
    /// Whether the answer is yes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Why.
    pub fn reason(self) -> Reason {
        match self {
            Self::Allowed(reason) | Self::Denied(reason) => reason,
        }
    }

    /// Why, in a sentence for the person who asked.
    pub fn message(self) -> &'static str {
        self.reason().message()
    }
}

/// Why the policy decides as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is one's own data.
    Own,
    /// The user is in the patient's care team.
    CareTeam,
    /// The user is disabled.
    Inactive,
    /// Devices send, they do not read.
    DeviceReads,
    /// Only a patient and the patient's devices write.
    NotTheWriter,
    /// The user is not, or no longer, in the patient's care team.
    NotInCareTeam,
    /// Administrators administer; they read no health data.
    Administrator,
}

impl Reason {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::CareTeam => "care_team",
            Self::Inactive => "inactive",
            Self::DeviceReads => "device",
            Self::NotTheWriter => "not_the_writer",
            Self::NotInCareTeam => "not_in_care_team",
            Self::Administrator => "administrator",
        }
    }

    /// The reason in a sentence.
    pub fn message(self) -> &'static str {
        match self {
            Self::Own => "it is your own data",
            Self::CareTeam => "you are in this patient's care team",
            Self::Inactive => "this user is disabled",
            Self::DeviceReads => "a device reads the measurements of its own patient only",
            Self::NotTheWriter => "only the patient and the patient's devices may write measurements",
            Self::NotInCareTeam => "you are not in this patient's care team",
            Self::Administrator => "administrators do not read health data",
        }
    }
}

/// Decides whether `user` may do `action` with the data of `patient` at `now`. `relation` is the user's place in
/// the patient's care team, if there is one.
pub fn decide(
    user: &User,
    action: Action,
    patient: &UserId,
    relation: Option<&CareRelation>,
    now: Timestamp,
) -> Decision {
    if !user.active {
        return Decision::Denied(Reason::Inactive);
    }
    // Only patients and devices have measurements of their own, and they may do both with them.
    if user.own_patient() == Some(patient) {
        return Decision::Allowed(Reason::Own);
    }
    match (action, user.role) {
        (Action::WriteMeasurements, _) => Decision::Denied(Reason::NotTheWriter),
        (Action::ReadMeasurements, Role::Device) => Decision::Denied(Reason::DeviceReads),
        (Action::ReadMeasurements, Role::Admin) => Decision::Denied(Reason::Administrator),
        (Action::ReadMeasurements, _) => {
            let holds = relation.is_some_and(|relation| {
                relation.patient == *patient && relation.member == user.id && relation.holds_at(now)
            });
            if holds { Decision::Allowed(Reason::CareTeam) } else { Decision::Denied(Reason::NotInCareTeam) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Role by role: (reads p without a relation, reads p with one, writes p).
    #[test]
    fn the_decision_table() {
        let relation = |member: &User| CareRelation {
            patient: id("p"),
            member: member.id.clone(),
            starts_at: at(10),
            ends_at: Some(at(20)),
        };
        let table = [
            (user("p", Role::Patient), true, true, true),
            (user("q", Role::Patient), false, true, false),
            (user("c", Role::Caregiver), false, true, false),
            (user("n", Role::Nurse), false, true, false),
            (user("d", Role::Doctor), false, true, false),
            (user("a", Role::Admin), false, false, false),
            (user("w", Role::Device), true, true, true),
        ];
        for (user, alone, related, writes) in table {
            let member = relation(&user);
            let may = |action, relation, now| decide(&user, action, &id("p"), relation, now).is_allowed();
            assert_eq!(may(Action::ReadMeasurements, None, at(15)), alone, "{user:?} alone");
            assert_eq!(may(Action::ReadMeasurements, Some(&member), at(15)), related, "{user:?} related");
            assert_eq!(may(Action::ReadMeasurements, Some(&member), at(9)), alone, "{user:?} too early");
            assert_eq!(may(Action::ReadMeasurements, Some(&member), at(20)), alone, "{user:?} too late");
            assert_eq!(may(Action::WriteMeasurements, Some(&member), at(15)), writes, "{user:?} writes");
            let disabled = User { active: false, ..user };
            assert!(
                !decide(&disabled, Action::ReadMeasurements, &id("p"), Some(&member), at(15)).is_allowed()
            );
        }
    }

    #[test]
    fn a_relation_to_one_patient_opens_no_other() {
        let nurse = user("n", Role::Nurse);
        let relation = CareRelation { patient: id("p"), member: id("n"), starts_at: at(0), ends_at: None };
        assert!(!decide(&nurse, Action::ReadMeasurements, &id("q"), Some(&relation), at(1)).is_allowed());
    }
}
