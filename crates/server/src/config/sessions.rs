//! `[sessions]`: what outlives a connection, and what is sent again.

use std::time::Duration;

use healthmate_care::Backoff;
use healthmate_session::{LostOptions, Redelivery};
use serde::{Deserialize, Serialize};

use super::problem::Findings;

const MIB: u32 = 1024 * 1024;

/// What outlives a connection, and what is sent again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// For how long a client whose connection was lost may come back to its session, in seconds: 0 to 3600, 0 for not
    /// at all. Default 120.
    pub resume_window_s: u32,
    /// How much memory the lost sessions of the server take at most, in bytes; past it, the oldest end: 64 KiB to
    /// 1 GiB. Default 16 MiB.
    pub resumable_bytes: u32,
    /// How often lost sessions whose window is over are cleared away, in seconds: 1 to 3600. Default 300.
    pub cleanup_interval_s: u32,
    /// How often the server tries to recover each lost session, in seconds: 1 to 3600. Default 60.
    pub recovery_interval_s: u32,
    /// How many attempts at recovery a lost session outlives: 1 to 1000. Default 5.
    pub recovery_attempts: u32,
    /// How long a client may take to acknowledge an event of a subscription with `acknowledge`, in seconds: 1 to 300.
    /// Default 5.
    pub redelivery_after_s: u32,
    /// The longest pause between two attempts to deliver it, in seconds: at least `redelivery_after_s`, up to 3600.
    /// Default 60.
    pub redelivery_max_s: u32,
    /// How often it is sent again before its delivery ends: 1 to 100. Default 5.
    pub redelivery_attempts: u32,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            resume_window_s: 120,
            resumable_bytes: 16 * MIB,
            cleanup_interval_s: 300,
            recovery_interval_s: 60,
            recovery_attempts: 5,
            redelivery_after_s: 5,
            redelivery_max_s: 60,
            redelivery_attempts: 5,
        }
    }
}

impl SessionSettings {
    pub(super) fn check(&self, found: &mut Findings) {
        found.range("sessions.resume_window_s", self.resume_window_s, 0..=3600, "seconds");
        found.range("sessions.resumable_bytes", self.resumable_bytes, MIB / 16..=1024 * MIB, "bytes");
        found.range("sessions.cleanup_interval_s", self.cleanup_interval_s, 1..=3600, "seconds");
        found.range("sessions.recovery_interval_s", self.recovery_interval_s, 1..=3600, "seconds");
        found.range("sessions.recovery_attempts", self.recovery_attempts, 1..=1000, "");
        found.range("sessions.redelivery_after_s", self.redelivery_after_s, 1..=300, "seconds");
        found.range("sessions.redelivery_max_s", self.redelivery_max_s, 1..=3600, "seconds");
        found.range("sessions.redelivery_attempts", self.redelivery_attempts, 1..=100, "");
        if self.redelivery_max_s < self.redelivery_after_s {
            let message = format!(
                "is {}, must be at least sessions.redelivery_after_s, which is {}",
                self.redelivery_max_s, self.redelivery_after_s
            );
            found.add("sessions.redelivery_max_s", message);
        }
    }

    /// What lost sessions are held to.
    pub(crate) fn lost(&self) -> LostOptions {
        LostOptions {
            window: Duration::from_secs(self.resume_window_s.into()),
            bytes: self.resumable_bytes as usize,
            recovery_attempts: self.recovery_attempts,
        }
    }

    /// How unacknowledged events are sent again.
    pub(crate) fn redelivery(&self) -> Redelivery {
        let after = Duration::from_secs(self.redelivery_after_s.into());
        let max = Duration::from_secs(self.redelivery_max_s.into());
        Redelivery { after, backoff: Backoff { first: after, max }, attempts: self.redelivery_attempts }
    }
}
