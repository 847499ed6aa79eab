//! Why the policy decides as it does.

use std::fmt;

use crate::team::Scope;

/// Why the policy decides as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is one's own data.
    Own,
    /// The user is in the patient's care team, and was let in to this.
    CareTeam,
    /// The user opened the patient in an emergency.
    BreakGlass,
    /// Doctors and nurses may open a patient in an emergency.
    Clinician,
    /// Administrators run the service.
    Administers,
    /// The user is disabled.
    Inactive,
    /// Devices send; they read the measurements of their own patient only.
    Device,
    /// Only a patient and the patient's devices write measurements.
    NotTheWriter,
    /// The user is not, or no longer, in the patient's care team.
    NotInCareTeam,
    /// The user is in the care team, and was not let in to this.
    ScopeMissing(Scope),
    /// The user's place in the care team has not begun.
    NotYet,
    /// The user's place in the care team has ended.
    Ended,
    /// The user's break-glass access has ended.
    BreakGlassOver,
    /// Administrators administer; they read no health data.
    Administrator,
    /// It is for administrators.
    NotAdministrator,
    /// It is somebody else's own.
    NotOwn,
    /// It is for doctors and nurses.
    NotClinician,
    /// Wards have no members yet.
    NoWard,
}

impl Reason {
    /// Every reason, in the order of the docs; for a missing scope, the first one.
    pub const ALL: [Self; 18] = [
        Self::Own,
        Self::CareTeam,
        Self::BreakGlass,
        Self::Clinician,
        Self::Administers,
        Self::Inactive,
        Self::Device,
        Self::NotTheWriter,
        Self::NotInCareTeam,
        Self::ScopeMissing(Scope::Vitals),
        Self::NotYet,
        Self::Ended,
        Self::BreakGlassOver,
        Self::Administrator,
        Self::NotAdministrator,
        Self::NotOwn,
        Self::NotClinician,
        Self::NoWard,
    ];

    /// The stable word: on the wire, in the audit trail, in the docs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::CareTeam => "care_team",
            Self::BreakGlass => "break_glass",
            Self::Clinician => "clinician",
            Self::Administers => "administers",
            Self::Inactive => "inactive",
            Self::Device => "device",
            Self::NotTheWriter => "not_the_writer",
            Self::NotInCareTeam => "not_in_care_team",
            Self::ScopeMissing(_) => "scope_missing",
            Self::NotYet => "not_yet",
            Self::Ended => "ended",
            Self::BreakGlassOver => "break_glass_ended",
            Self::Administrator => "administrator",
            Self::NotAdministrator => "not_administrator",
            Self::NotOwn => "not_own",
            Self::NotClinician => "not_clinician",
            Self::NoWard => "no_ward",
        }
    }

    /// The reason in a sentence, for whoever asked.
    pub fn message(self) -> &'static str {
        match self {
            Self::Own => "it is your own data",
            Self::CareTeam => "you are in this patient's care team",
            Self::BreakGlass => "you opened this patient in an emergency",
            Self::Clinician => "doctors and nurses may open a patient in an emergency",
            Self::Administers => "administrators run the service",
            Self::Inactive => "this user is disabled",
            Self::Device => "a device reads the measurements of its own patient only",
            Self::NotTheWriter => "only the patient and the patient's devices may write measurements",
            Self::NotInCareTeam => "you are not in this patient's care team",
            Self::ScopeMissing(scope) => missing(scope),
            Self::NotYet => "your place in this patient's care team has not begun yet",
            Self::Ended => "your place in this patient's care team has ended",
            Self::BreakGlassOver => "your emergency access to this patient has ended",
            Self::Administrator => "administrators do not read health data",
            Self::NotAdministrator => "this is for administrators",
            Self::NotOwn => "these are for somebody else",
            Self::NotClinician => "only doctors and nurses may open a patient in an emergency",
            Self::NoWard => "wards are not served yet",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn missing(scope: Scope) -> &'static str {
    match scope {
        Scope::Vitals => "your place in this patient's care team does not include vitals",
        Scope::Alerts => "your place in this patient's care team does not include alerts",
        Scope::Chat => "your place in this patient's care team does not include the chat",
        Scope::Medications => "your place in this patient's care team does not include medications",
        Scope::Symptoms => "your place in this patient's care team does not include symptoms",
        Scope::Records => "your place in this patient's care team does not include records",
        Scope::Manage => "your place in this patient's care team does not include managing it",
    }
}
