//! Users and their roles.

use std::fmt;
use std::str::FromStr;

use healthmate_protocol::UserId;

/// What a user is. A role alone opens no patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Someone whose health is looked after; `health:{patient}` names the same id.
    Patient,
    /// A relative or friend who helps.
    Caregiver,
    /// A nurse.
    Nurse,
    /// A doctor.
    Doctor,
    /// Runs the service; reads no health data.
    Admin,
    /// A device or app that sends one patient's measurements.
    Device,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Patient, Self::Caregiver, Self::Nurse, Self::Doctor, Self::Admin, Self::Device];

    /// Whether a user has this role from the beginning and keeps it: measurements, care teams and devices hang on it.
    pub fn is_for_good(self) -> bool {
        matches!(self, Self::Patient | Self::Device)
    }

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Caregiver => "caregiver",
            Self::Nurse => "nurse",
            Self::Doctor => "doctor",
            Self::Admin => "admin",
            Self::Device => "device",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a role: use patient, caregiver, nurse, doctor, admin or device")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// Someone or something with a token.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The `sub` of its tokens.
    pub id: UserId,
    /// What it is.
    pub role: Role,
    /// What people call it, 1 to 128 characters.
    pub name: String,
    /// For a device, and only for one: whose measurements it sends.
    pub device_of: Option<UserId>,
    /// Disabled users are refused everywhere.
    pub active: bool,
}

impl User {
    /// The patient whose measurements this user writes: a patient's own id, or a device's patient.
    pub fn own_patient(&self) -> Option<&UserId> {
        match self.role {
            Role::Patient => Some(&self.id),
            Role::Device => self.device_of.as_ref(),
            _ => None,
        }
    }
}

/// A name is personal: `Debug` leaves it out.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}
