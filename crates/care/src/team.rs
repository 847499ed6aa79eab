//! The care team: who was let in by a patient, to what, and for how long.

use std::fmt;
use std::str::FromStr;

use healthmate_protocol::{Timestamp, UserId};

/// A part of a patient's data, or of what can be done for the patient, that a member is let in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Measurements and waveforms, live and from the past, and who is there.
    Vitals,
    /// Alerts: to hear and to acknowledge them.
    Alerts,
    /// The care team's conversation about and with the patient.
    Chat,
    /// Medications and doses.
    Medications,
    /// Symptoms and what was written about them.
    Symptoms,
    /// Everything else on file: appointments, notes, documents.
    Records,
    /// Letting members in and out, and seeing who saw what.
    Manage,
}

impl Scope {
    /// Every scope, in the order of the docs.
    pub const ALL: [Self; 7] = [
        Self::Vitals,
        Self::Alerts,
        Self::Chat,
        Self::Medications,
        Self::Symptoms,
        Self::Records,
        Self::Manage,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vitals => "vitals",
            Self::Alerts => "alerts",
            Self::Chat => "chat",
            Self::Medications => "medications",
            Self::Symptoms => "symptoms",
            Self::Records => "records",
            Self::Manage => "manage",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: use vitals, alerts, chat, medications, symptoms, records or manage")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// A set of scopes. Its text is their words with commas between them, in the order of [`Scope::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    /// All of the patient's data, without `manage`: what a member gets where nothing else is said.
    pub const DATA: Self = Self(Self::ALL.0 & !(1 << Scope::Manage as u8));

    /// Whether `scope` is one of them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether each of these is one of `others`.
    pub fn is_within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that both hold.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those that are not among `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Each of them, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// A bit for each, as stores keep it: 1 for the first of [`Scope::ALL`], 2 for the second, and so on.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits; `None` if a bit stands for no scope.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(Self(bits)).filter(|scopes| scopes.is_within(Self::ALL))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split(',').map(|word| word.trim().parse::<Scope>()).collect()
    }
}

/// What a member is to the patient. It is told and shown, and opens nothing: scopes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Relationship {
    /// A relative.
    Family,
    /// A friend.
    Friend,
    /// Somebody who helps at home.
    Caregiver,
    /// A nurse.
    Nurse,
    /// The doctor the patient sees first.
    GeneralPractitioner,
    /// A doctor of a specialty.
    Specialist,
    /// A therapist.
    Therapist,
    /// Something else, or nothing was said.
    #[default]
    Other,
}

impl Relationship {
    /// Every relation.
    pub const ALL: [Self; 8] = [
        Self::Family,
        Self::Friend,
        Self::Caregiver,
        Self::Nurse,
        Self::GeneralPractitioner,
        Self::Specialist,
        Self::Therapist,
        Self::Other,
    ];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Family => "family",
            Self::Friend => "friend",
            Self::Caregiver => "caregiver",
            Self::Nurse => "nurse",
            Self::GeneralPractitioner => "general_practitioner",
            Self::Specialist => "specialist",
            Self::Therapist => "therapist",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Relationship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a relation: use family, friend, caregiver, nurse, general_practitioner, specialist, therapist or other"
)]
pub struct UnknownRelationship;

impl FromStr for Relationship {
    type Err = UnknownRelationship;

    fn from_str(text: &str) -> Result<Self, UnknownRelationship> {
        Self::ALL.into_iter().find(|relation| relation.as_str() == text).ok_or(UnknownRelationship)
    }
}

/// One member of a patient's care team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CareRelation {
    /// Who is cared for.
    pub patient: UserId,
    /// Who was let in.
    pub member: UserId,
    /// What the member is to the patient.
    pub relation: Relationship,
    /// To what the member was let in.
    pub scopes: Scopes,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when, exclusive; `None` for "until ended".
    pub ends_at: Option<Timestamp>,
    /// Which user let the member in, or changed the access last; `None` where it was no user: the command line, the
    /// server, or before this was kept.
    pub granted_by: Option<UserId>,
}

impl CareRelation {
    /// A member with access to all of the patient's data, without `manage`, from `starts_at` until it is ended.
    pub fn new(patient: UserId, member: UserId, starts_at: Timestamp) -> Self {
        Self {
            patient,
            member,
            relation: Relationship::Other,
            scopes: Scopes::DATA,
            starts_at,
            ends_at: None,
            granted_by: None,
        }
    }

    /// Whether the relation holds at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.starts_at <= now && !self.is_over(now)
    }

    /// Whether it has ended by `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        for relation in Relationship::ALL {
            assert_eq!(relation.as_str().parse(), Ok(relation));
        }
        assert_eq!("Vitals".parse::<Scope>(), Err(UnknownScope));
        assert_eq!("boss".parse::<Relationship>(), Err(UnknownRelationship));
    }

    #[test]
    fn every_set_comes_back_from_its_bits_and_its_text() {
        for bits in 0..=u8::MAX {
            let Some(scopes) = Scopes::from_bits(bits) else {
                assert!(bits > Scopes::ALL.bits());
                continue;
            };
            assert_eq!((scopes.bits(), scopes.iter().collect::<Scopes>()), (bits, scopes));
            if !scopes.is_empty() {
                assert_eq!(scopes.to_string().parse(), Ok(scopes));
            }
            assert!(scopes.is_within(Scopes::ALL) && Scopes::NONE.is_within(scopes));
            assert_eq!(scopes.without(Scopes::DATA).contains(Scope::Manage), scopes.contains(Scope::Manage));
            assert_eq!(scopes.and(Scopes::DATA).without(Scopes::DATA), Scopes::NONE);
        }
        assert_eq!("manage, vitals".parse::<Scopes>().expect("known").to_string(), "vitals,manage");
        assert_eq!("".parse::<Scopes>(), Err(UnknownScope));
        assert!(!Scopes::DATA.contains(Scope::Manage) && Scopes::DATA.contains(Scope::Records));
    }

    #[test]
    fn a_relation_holds_from_its_start_to_just_before_its_end() {
        let at = Timestamp::from_micros;
        let id = |text| UserId::new(text).expect("valid");
        let open = CareRelation::new(id("p"), id("n"), at(10));
        let closed = CareRelation { ends_at: Some(at(20)), ..open.clone() };
        let holds = |relation: &CareRelation| [9, 10, 19, 20].map(|now| relation.holds_at(at(now)));
        assert_eq!(holds(&open), [false, true, true, true]);
        assert_eq!(holds(&closed), [false, true, true, false]);
    }
}
