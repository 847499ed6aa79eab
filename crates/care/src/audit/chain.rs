//! The chain: what each record's hash covers.

use healthmate_protocol::UserId;
use sha2::{Digest, Sha256};

use super::{AuditRecord, By};
use crate::user::Role;

/// The hash of a record and of all before it.
pub type Link = [u8; 32];

/// What the first record is chained to.
pub const FIRST_LINK: Link = [0; 32];

/// A record in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// 1, 2, 3, … without holes.
    pub seq: u64,
    /// What was recorded.
    pub record: AuditRecord,
    /// Its link, as the store keeps it.
    pub link: Link,
}

/// The link of the record at `seq` after `previous`: SHA-256 over the link before and every field, each with its length,
/// so that nothing can move from one field to the next.
pub fn link(previous: &Link, seq: u64, record: &AuditRecord) -> Link {
    link_with(previous, seq, record, &Written::of(record))
}

/// What of a record is written in other words than it is held in.
#[derive(Clone, Debug)]
pub struct Written {
    /// The address it was done from.
    pub address: Option<String>,
    /// The break-glass access it was done under.
    pub break_glass: Option<String>,
}

impl Written {
    /// Of this record.
    pub fn of(record: &AuditRecord) -> Self {
        let By { address, break_glass, .. } = &record.by;
        Self {
            address: address.map(|address| address.to_string()),
            break_glass: break_glass.map(|id| id.to_string()),
        }
    }
}

/// [`link`], for those who write the record too.
pub fn link_with(previous: &Link, seq: u64, record: &AuditRecord, written: &Written) -> Link {
    let AuditRecord { by, action, object, patient, reason, outcome } = record;
    let mut hash = Sha256::new();
    hash.update(b"healthmate audit 1");
    hash.update(previous);
    hash.update(seq.to_be_bytes());
    hash.update(by.at.as_micros().to_be_bytes());
    let fields = [
        Some(by.actor.kind()),
        by.actor.user().map(UserId::as_str),
        by.actor.role().map(Role::as_str),
        written.address.as_deref(),
        written.break_glass.as_deref(),
        Some(action.as_str()),
        object.as_deref(),
        patient.as_ref().map(UserId::as_str),
        reason.as_deref(),
        Some(outcome.as_str()),
    ];
    for field in fields {
        // One more than the length: 0 says that there is none.
        let length = field.map_or(0, |text| text.len() as u64 + 1);
        hash.update(length.to_be_bytes());
        hash.update(field.unwrap_or_default());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::Timestamp;
    use uuid::Uuid;

    use super::super::{Actor, AuditAction, AuditOutcome};
    use super::*;

    fn record() -> AuditRecord {
        let user = UserId::new("nora").expect("valid");
        let by = By {
            actor: Actor::User(user, Role::Nurse),
            address: Some("192.0.2.1".parse().expect("valid")),
            at: Timestamp::from_micros(1_000_000),
            break_glass: None,
        };
        let patient = UserId::new("ana").expect("valid");
        AuditRecord::new(by, AuditAction::Subscribe)
            .object("health:ana")
            .patient(&patient)
            .reason("care_team")
    }

    /// Every field is under the link, and none can pass for its neighbour.
    #[test]
    fn any_change_changes_the_link() {
        let same = link(&FIRST_LINK, 1, &record());
        assert_eq!(same, link(&FIRST_LINK, 1, &record()));
        let by = record().by;
        let with = |by: By| AuditRecord { by, ..record() };
        let changed = [
            with(By { actor: Actor::Server, ..by.clone() }),
            with(By { actor: Actor::User(UserId::new("nora").expect("valid"), Role::Doctor), ..by.clone() }),
            with(By { address: None, ..by.clone() }),
            with(By { at: by.at.plus_millis(1), ..by.clone() }),
            with(By { break_glass: Some(Uuid::nil()), ..by }),
            AuditRecord { action: AuditAction::Read, ..record() },
            AuditRecord { object: None, ..record() },
            AuditRecord { patient: None, ..record() },
            AuditRecord { object: Some("health:anaana".to_owned()), patient: None, ..record() },
            record().reason("own"),
            record().outcome(AuditOutcome::Denied),
        ];
        let mut links: Vec<_> = changed.iter().map(|record| link(&FIRST_LINK, 1, record)).collect();
        links.extend([same, link(&FIRST_LINK, 2, &record()), link(&same, 1, &record())]);
        let count = links.len();
        links.sort_unstable();
        links.dedup();
        assert_eq!(links.len(), count);
    }
}
