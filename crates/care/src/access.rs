//! Who may do what: one pure function that everything asks.
//!
//! A role alone opens no patient. What does is one's own data, a place in the care team with the scope that the action
//! needs, or, for doctors and nurses, break-glass.

mod reason;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use healthmate_protocol::{Timestamp, TopicKind, UserId};

pub use self::reason::Reason;
use crate::break_glass::BreakGlass;
use crate::team::{CareRelation, Scope};
use crate::user::{Role, User};

/// What someone wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hear a patient's measurements and waveforms, live or from the log, read their history, see who is there.
    ReadMeasurements,
    /// Store measurements of a patient.
    WriteMeasurements,
    /// Hear a patient's alerts, and acknowledge them.
    Alerts,
    /// Read and write in a patient's conversation.
    Chat,
    /// Read and keep a patient's medications and doses.
    Medications,
    /// Read and keep a patient's symptoms.
    Symptoms,
    /// Read and keep a patient's appointments, notes and documents.
    Records,
    /// See a patient's care team, let members in, change what they may, and take them out.
    ManageCareTeam,
    /// See who saw a patient's data.
    SeeAccessLog,
    /// Open a patient in an emergency, without being let in.
    BreakGlass,
    /// Hear a user's notifications.
    HearNotifications,
    /// Hear what concerns a ward.
    HearWard,
    /// See and steer a user's connections.
    SteerConnections,
    /// Run the service: users, care teams, connections, the audit trail.
    Administer,
}

impl Action {
    /// Every action, in the order of the docs.
    pub const ALL: [Self; 14] = [
        Self::ReadMeasurements,
        Self::WriteMeasurements,
        Self::Alerts,
        Self::Chat,
        Self::Medications,
        Self::Symptoms,
        Self::Records,
        Self::ManageCareTeam,
        Self::SeeAccessLog,
        Self::BreakGlass,
        Self::HearNotifications,
        Self::HearWard,
        Self::SteerConnections,
        Self::Administer,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadMeasurements => "read_measurements",
            Self::WriteMeasurements => "write_measurements",
            Self::Alerts => "alerts",
            Self::Chat => "chat",
            Self::Medications => "medications",
            Self::Symptoms => "symptoms",
            Self::Records => "records",
            Self::ManageCareTeam => "manage_care_team",
            Self::SeeAccessLog => "see_access_log",
            Self::BreakGlass => "break_glass",
            Self::HearNotifications => "hear_notifications",
            Self::HearWard => "hear_ward",
            Self::SteerConnections => "steer_connections",
            Self::Administer => "administer",
        }
    }

    /// What it is to hear a topic of this kind. Whose topic it is, is its id.
    pub fn hearing(kind: TopicKind) -> Self {
        match kind {
            TopicKind::Health => Self::ReadMeasurements,
            TopicKind::Chat => Self::Chat,
            TopicKind::Notifications => Self::HearNotifications,
            TopicKind::Ward => Self::HearWard,
        }
    }

    /// The scope that a member of the care team needs for it; `None` where being a member changes nothing.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::ReadMeasurements => Some(Scope::Vitals),
            Self::Alerts => Some(Scope::Alerts),
            Self::Chat => Some(Scope::Chat),
            Self::Medications => Some(Scope::Medications),
            Self::Symptoms => Some(Scope::Symptoms),
            Self::Records => Some(Scope::Records),
            Self::ManageCareTeam | Self::SeeAccessLog => Some(Scope::Manage),
            Self::WriteMeasurements
            | Self::BreakGlass
            | Self::HearNotifications
            | Self::HearWard
            | Self::SteerConnections
            | Self::Administer => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an action: docs/access.md lists them, such as read_measurements or manage_care_team")]
pub struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(UnknownAction)
    }
}

/// What the policy says, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed {
        /// Because of this.
        reason: Reason,
        /// When that ends, where it is known to.
        until: Option<Until>,
    },
    /// No, because of this.
    Denied(Reason),
}

/// When access ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// When.
    pub at: Timestamp,
    /// Why it is denied from then on.
    pub then: Reason,
}

impl Decision {
    /// Yes, because of `reason`, until that is ended.
    const fn yes(reason: Reason) -> Self {
        Self::Allowed { reason, until: None }
    }

    /// Whether the answer is yes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Why.
    pub fn reason(self) -> Reason {
        match self {
            Self::Allowed { reason, .. } | Self::Denied(reason) => reason,
        }
    }

    /// When it ends by itself, where it is allowed and that is known.
    pub fn until(self) -> Option<Until> {
        match self {
            Self::Allowed { until, .. } => until,
            Self::Denied(_) => None,
        }
    }

    /// Why, in a sentence for the person who asked.
    pub fn message(self) -> &'static str {
        self.reason().message()
    }
}

/// What a user was given with a patient.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grants<'a> {
    /// The user's place in the patient's care team, if there is one.
    pub relation: Option<&'a CareRelation>,
    /// The user's break-glass access to the patient, if there is one: the one that ends last.
    pub break_glass: Option<&'a BreakGlass>,
}

impl Grants<'_> {
    /// Nothing.
    pub const NONE: Self = Self { relation: None, break_glass: None };
}

/// Decides whether `user` may do `action` with the data of `patient` at `now`, with what the user was given. For what
/// concerns no patient (notifications, connections), `patient` is whoever it concerns.
pub fn decide(
    user: &User,
    action: Action,
    patient: &UserId,
    grants: &Grants<'_>,
    now: Timestamp,
) -> Decision {
    if !user.active {
        return Decision::Denied(Reason::Inactive);
    }
    let yes_if = |condition, yes, no| if condition { Decision::yes(yes) } else { Decision::Denied(no) };
    let (own, admin) = (user.id == *patient, user.role == Role::Admin);
    match action {
        // Only patients and devices have measurements of their own.
        Action::WriteMeasurements => {
            yes_if(user.own_patient() == Some(patient), Reason::Own, Reason::NotTheWriter)
        }
        Action::BreakGlass => yes_if(is_clinician(user.role), Reason::Clinician, Reason::NotClinician),
        Action::HearNotifications => yes_if(own, Reason::Own, Reason::NotOwn),
        Action::HearWard => Decision::Denied(Reason::NoWard),
        Action::SteerConnections if own => Decision::yes(Reason::Own),
        Action::SteerConnections | Action::Administer => {
            yes_if(admin, Reason::Administers, Reason::NotAdministrator)
        }
        Action::ReadMeasurements
        | Action::Alerts
        | Action::Chat
        | Action::Medications
        | Action::Symptoms
        | Action::Records
        | Action::ManageCareTeam
        | Action::SeeAccessLog => match user.role {
            Role::Patient if own => Decision::yes(Reason::Own),
            Role::Device => {
                let reads = action == Action::ReadMeasurements && user.own_patient() == Some(patient);
                yes_if(reads, Reason::Own, Reason::Device)
            }
            Role::Admin => {
                yes_if(action.scope() == Some(Scope::Manage), Reason::Administers, Reason::Administrator)
            }
            _ => granted(user, action, patient, grants, now),
        },
    }
}

/// Whether what the user was given carries the action.
fn granted(user: &User, action: Action, patient: &UserId, grants: &Grants<'_>, now: Timestamp) -> Decision {
    let between = |of: &UserId, member: &UserId| of == patient && *member == user.id;
    let relation = grants.relation.filter(|relation| between(&relation.patient, &relation.member));
    let emergency = grants.break_glass.filter(|access| between(&access.patient, &access.member));
    let emergency = emergency.filter(|_| is_clinician(user.role));
    let opened = emergency.filter(|access| {
        access.holds_at(now) && action.scope().is_some_and(|scope| BreakGlass::scopes().contains(scope))
    });
    let emergency_end = opened.map(|access| Until { at: access.ends_at, then: Reason::BreakGlassOver });
    match (relation.map(|relation| carries(relation, action, now)), emergency_end) {
        // Where both hold, access goes on until the later end.
        (Some(Ok(until)), end) => {
            let until = until.map(|until| end.filter(|end| end.at > until.at).unwrap_or(until));
            Decision::Allowed { reason: Reason::CareTeam, until }
        }
        (_, Some(end)) => {
            // A place in the care team that has begun by then takes over.
            let after = relation.and_then(|relation| carries(relation, action, end.at).ok());
            Decision::Allowed { reason: Reason::BreakGlass, until: after.unwrap_or(Some(end)) }
        }
        (Some(Err(reason)), None) => Decision::Denied(reason),
        (None, None) if emergency.is_some_and(|access| access.ends_at <= now) => {
            Decision::Denied(Reason::BreakGlassOver)
        }
        (None, None) => Decision::Denied(Reason::NotInCareTeam),
    }
}

/// Until when the relation carries the action, or why it does not.
fn carries(relation: &CareRelation, action: Action, now: Timestamp) -> Result<Option<Until>, Reason> {
    match action.scope() {
        _ if relation.is_over(now) => Err(Reason::Ended),
        _ if !relation.holds_at(now) => Err(Reason::NotYet),
        Some(scope) if !relation.scopes.contains(scope) => Err(Reason::ScopeMissing(scope)),
        _ => Ok(relation.ends_at.map(|at| Until { at, then: Reason::Ended })),
    }
}

/// Whether the role may break glass.
fn is_clinician(role: Role) -> bool {
    matches!(role, Role::Doctor | Role::Nurse)
}
