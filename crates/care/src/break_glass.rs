//! Break-glass: a doctor or nurse opens a patient in an emergency, for a limited time, without being let in.

use healthmate_protocol::{Timestamp, UserId};
use uuid::Uuid;

use crate::team::{Scope, Scopes};

/// Such an access. Why it was taken is kept elsewhere: no rule reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Names it in the audit trail.
    pub id: Uuid,
    /// Who was opened.
    pub patient: UserId,
    /// Who opened: a doctor or a nurse.
    pub member: UserId,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when, exclusive: it ends by itself.
    pub ends_at: Timestamp,
}

impl BreakGlass {
    /// What it opens: what helps in an emergency, and neither conversations nor the care team.
    pub fn scopes() -> Scopes {
        Scopes::from_iter([Scope::Vitals, Scope::Alerts, Scope::Medications, Scope::Symptoms, Scope::Records])
    }

    /// Whether it holds at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at
    }
}
