//! `[access]`: opening patients in an emergency, and who is told.

use healthmate_protocol::UserId;
use serde::{Deserialize, Serialize};

use super::problem::Findings;

/// Opening patients in an emergency, and who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    /// Who is told, beside the patient, when a patient is opened in an emergency, and who reviews it: ids of users.
    /// Default none, which means every active administrator.
    pub privacy_officers: Vec<UserId>,
    /// How long an emergency access holds where the request does not say, in minutes: 1 to
    /// `break_glass_max_minutes`. Default 60.
    pub break_glass_minutes: u32,
    /// How long one may hold at most, in minutes: 1 to 1440. Default 240.
    pub break_glass_max_minutes: u32,
    /// How many one user may hold at once: 1 to 100. Default 3.
    pub break_glass_at_once: u32,
    /// How many one user may begin in 24 hours: 1 to 1000. Default 10.
    pub break_glass_per_day: u32,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            privacy_officers: Vec::new(),
            break_glass_minutes: 60,
            break_glass_max_minutes: 240,
            break_glass_at_once: 3,
            break_glass_per_day: 10,
        }
    }
}

impl AccessSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("access.break_glass_minutes", self.break_glass_minutes, 1..=1440, "minutes");
        found.range("access.break_glass_max_minutes", self.break_glass_max_minutes, 1..=1440, "minutes");
        found.range("access.break_glass_at_once", self.break_glass_at_once, 1..=100, "");
        found.range("access.break_glass_per_day", self.break_glass_per_day, 1..=1000, "");
        if self.break_glass_minutes > self.break_glass_max_minutes {
            let message = format!(
                "is {}, must be at most access.break_glass_max_minutes, which is {}",
                self.break_glass_minutes, self.break_glass_max_minutes
            );
            found.add("access.break_glass_minutes", message);
        }
    }
}
