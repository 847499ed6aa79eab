//! What the writer remembers from one group to the next, so that a measurement costs no look-ups.

use std::collections::HashMap;

use healthmate_protocol::{Topic, UserId};
use rusqlite::Connection;

use crate::writer::audit::TrailHead;
use crate::writer::devices::Devices;

/// How many users and topics are remembered; past it, all are forgotten and looked up again as they come.
const MAX_REMEMBERED: usize = 100_000;

/// A user, as the writer needs to know one: neither changes after the user was added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) key: i64,
    pub(crate) is_patient: bool,
}

/// How far a topic has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) key: i64,
    pub(crate) head: u64,
}

/// What is on disk, as far as it was needed. Another process that writes, such as `healthmate user add`, makes it
/// void.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Changes when another connection commits.
    data_version: Option<i64>,
    pub(crate) people: HashMap<UserId, Person>,
    pub(crate) heads: HashMap<Topic, Head>,
    pub(crate) trail: Option<TrailHead>,
    pub(crate) devices: Devices,
}

impl Cache {
    /// Asked inside the transaction, when nobody else can write any more.
    pub(crate) fn check(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let version = conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version != Some(version)
            || self.people.len() + self.heads.len() + self.devices.len() > MAX_REMEMBERED
        {
            self.clear();
            self.data_version = Some(version);
        }
        Ok(())
    }

    /// Takes the heads of a group that is on disk, and of the audit trail if it wrote there.
    pub(crate) fn committed(&mut self, heads: HashMap<Topic, Head>, trail: Option<TrailHead>) {
        self.heads.extend(heads);
        self.trail = trail.or(self.trail);
    }

    pub(crate) fn clear(&mut self) {
        self.people.clear();
        self.heads.clear();
        self.trail = None;
        self.devices.clear();
    }
}
