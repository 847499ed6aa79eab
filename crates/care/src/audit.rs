//! The audit trail: what is recorded of an act, and the chain that shows when a record was touched.
//!
//! A record says who did what to whom, from where, why, with which outcome and when. It holds ids and stable words, and
//! never a health value, a name, a token or a sentence that somebody wrote. Records are chained: the hash of each covers
//! the one before, so that whoever changes, removes, inserts or reorders one breaks every hash after it.

mod chain;
mod checkpoint;
mod verify;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use healthmate_protocol::{ConnectionId, Timestamp, UserId};
use uuid::Uuid;

use crate::access::Decision;
use crate::break_glass::BreakGlass;
use crate::team::CareRelation;
use crate::user::{Role, User};
pub use chain::{AuditEntry, FIRST_LINK, Link, Written, link, link_with};
pub use checkpoint::{Checkpoint, CheckpointKey, hex};
pub use verify::{Flaw, FoundEntry, Verifier};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user, in the role held at the time.
    User(UserId, Role),
    /// Somebody who has not proved to be anybody.
    Anonymous,
    /// The server itself: at its start, and in its jobs.
    Server,
    /// Whoever may run `healthmate` beside the data.
    CommandLine,
}

impl Actor {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(..) => "user",
            Self::Anonymous => "anonymous",
            Self::Server => "server",
            Self::CommandLine => "command_line",
        }
    }

    /// The user, where it is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(id, _) => Some(id),
            _ => None,
        }
    }

    /// The user's role, where it is one.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::User(_, role) => Some(*role),
            _ => None,
        }
    }
}

/// Who acts, from where, and when: what every record begins with, and what each change of the store is asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// From which address, where there is one.
    pub address: Option<IpAddr>,
    /// When.
    pub at: Timestamp,
    /// The break-glass access under which it is done.
    pub break_glass: Option<Uuid>,
}

impl By {
    /// `user`, from `address`.
    pub fn user(user: &User, address: Option<IpAddr>, at: Timestamp) -> Self {
        Self { actor: Actor::User(user.id.clone(), user.role), address, at, break_glass: None }
    }

    /// Somebody unknown, from `address`.
    pub fn anonymous(address: Option<IpAddr>, at: Timestamp) -> Self {
        Self { actor: Actor::Anonymous, address, at, break_glass: None }
    }

    /// The server.
    pub fn server(at: Timestamp) -> Self {
        Self { actor: Actor::Server, address: None, at, break_glass: None }
    }

    /// The command line.
    pub fn command_line(at: Timestamp) -> Self {
        Self { actor: Actor::CommandLine, address: None, at, break_glass: None }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the trail.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(UnknownWord)
            }
        }
    };
}

/// The text is no word of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word of the audit trail")]
pub struct UnknownWord;

words! {
    /// What was done.
    AuditAction {
        /// Somebody proved who they are, or failed to.
        SignIn "sign_in",
        /// A user ended their own sign-in.
        SignOut "sign_out",
        /// A connection was authenticated.
        Connect "connect",
        /// A topic was subscribed to.
        Subscribe "subscribe",
        /// A page of history, or who is present, was read.
        Read "read",
        /// Measurements were written: one record for what a connection writes of a patient, or for a request.
        Write "write",
        /// An alert was acknowledged.
        AcknowledgeAlert "acknowledge_alert",
        /// A member was let into a care team, or their access was changed.
        AccessGranted "access_granted",
        /// A member was taken out of a care team.
        AccessEnded "access_ended",
        /// A patient was opened in an emergency.
        BreakGlassStarted "break_glass_started",
        /// Such an access ended.
        BreakGlassEnded "break_glass_ended",
        /// A password, passkey or API token was set or issued.
        CredentialIssued "credential_issued",
        /// A password, passkey, API token or sign-in was taken back.
        CredentialRevoked "credential_revoked",
        /// A user was added.
        UserAdded "user_added",
        /// A user was enabled.
        UserEnabled "user_enabled",
        /// A user was disabled.
        UserDisabled "user_disabled",
        /// A user's role was changed.
        RoleChanged "role_changed",
        /// The server started with its configuration.
        ServerStarted "server_started",
        /// An operator looked at connections, or steered them.
        Administered "administered",
        /// Refusals were too many to be recorded each: the object says how many.
        RefusalsLeftOut "refusals_left_out",
        /// Data or the trail was exported.
        Exported "exported",
        /// A patient's data was erased.
        Erased "erased",
        /// The keys that seal data at rest were rotated.
        KeysRotated "keys_rotated",
        /// One of them was taken out of the ring.
        KeyRetired "key_retired",
    }
}

words! {
    /// How it ended.
    AuditOutcome {
        /// It was done.
        Success "success",
        /// It was refused.
        Denied "denied",
        /// It was allowed, and could not be done.
        Failed "failed",
    }
}

/// One record, as its author writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Who, from where, and when.
    pub by: By,
    /// What was done.
    pub action: AuditAction,
    /// To what: a topic, `user:…`, `connection:…`, a route. Ids and words only.
    pub object: Option<String>,
    /// Whose data it was, where it was a patient's.
    pub patient: Option<UserId>,
    /// Why it was allowed or refused: a stable word. Of a grant, to what and for when.
    pub reason: Option<Cow<'static, str>>,
    /// How it ended.
    pub outcome: AuditOutcome,
}

impl AuditRecord {
    /// A success of which nothing more is said.
    pub fn new(by: By, action: AuditAction) -> Self {
        Self { by, action, object: None, patient: None, reason: None, outcome: AuditOutcome::Success }
    }

    /// Done to this.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Done with the data of this patient.
    #[must_use]
    pub fn patient(mut self, patient: &UserId) -> Self {
        self.patient = Some(patient.clone());
        self
    }

    /// Allowed or refused because of this.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(Cow::Borrowed(reason));
        self
    }

    /// Ended so.
    #[must_use]
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// The records of what people do.
impl AuditRecord {
    /// Somebody failed to prove who they are.
    pub fn sign_in_denied(by: By, reason: &'static str) -> Self {
        Self::new(by, AuditAction::SignIn).reason(reason).outcome(AuditOutcome::Denied)
    }

    /// A connection is a user's from now on.
    pub fn connected(by: By, connection: &ConnectionId) -> Self {
        Self::new(by, AuditAction::Connect).object(format!("connection:{connection}"))
    }

    /// A connection that would have been a user's was refused, though the user is known.
    pub fn connect_denied(by: By, connection: &ConnectionId, reason: &'static str) -> Self {
        Self::connected(by, connection).reason(reason).outcome(AuditOutcome::Denied)
    }

    /// Somebody who may not wanted a patient erased.
    pub fn erasure_denied(by: By, patient: &UserId) -> Self {
        let record = Self::new(by, AuditAction::Erased).patient(patient);
        record.reason("not_administrator").outcome(AuditOutcome::Denied)
    }

    /// The policy decided whether `action` may be done to `object`, of a patient's data.
    pub fn decided(
        by: By,
        action: AuditAction,
        object: String,
        patient: &UserId,
        decision: Decision,
    ) -> Self {
        let outcome = if decision.is_allowed() { AuditOutcome::Success } else { AuditOutcome::Denied };
        let record = Self::new(by, action).object(object).patient(patient);
        record.reason(decision.reason().as_str()).outcome(outcome)
    }

    /// What somebody came in with does not open what was asked for: why, in a stable word.
    pub fn not_opened(by: By, action: AuditAction, object: impl Into<String>, why: &'static str) -> Self {
        Self::new(by, action).object(object).reason(why).outcome(AuditOutcome::Denied)
    }

    /// So many refusals were left out of the trail.
    pub fn refusals_left_out(by: By, count: u64) -> Self {
        Self::new(by, AuditAction::RefusalsLeftOut).object(format!("refusals:{count}"))
    }

    /// The server starts with the configuration of this digest.
    pub fn server_started(by: By, digest: &str) -> Self {
        Self::new(by, AuditAction::ServerStarted).object(format!("configuration:sha256:{digest}"))
    }
}

/// The records of what changes users and care teams.
impl AuditRecord {
    /// A user was added.
    pub fn user_added(by: By, user: &User) -> Self {
        let record = Self::new(by, AuditAction::UserAdded).object(format!("user:{}", user.id));
        match &user.device_of {
            Some(patient) => record.patient(patient),
            None => record,
        }
    }

    /// A user was enabled or disabled.
    pub fn user_switched(by: By, id: &UserId, active: bool) -> Self {
        let action = if active { AuditAction::UserEnabled } else { AuditAction::UserDisabled };
        Self::new(by, action).object(format!("user:{id}"))
    }

    /// A user has this role now.
    pub fn role_changed(by: By, id: &UserId, role: Role) -> Self {
        Self::new(by, AuditAction::RoleChanged).object(format!("user:{id}")).reason(role.as_str())
    }

    /// A member was let into a patient's care team, or their access was changed: to these scopes, and for this time, as an
    /// interval of ISO 8601-2 that may be open at its end: `vitals,alerts 2026-11-26T08:00:00Z/..`.
    pub fn access_granted(by: By, relation: &CareRelation) -> Self {
        let CareRelation { patient, member, scopes, starts_at, ends_at, .. } = relation;
        let end = ends_at.map_or_else(|| "..".to_owned(), |end| end.to_string());
        let record =
            Self::new(by, AuditAction::AccessGranted).patient(patient).object(format!("user:{member}"));
        Self { reason: Some(Cow::Owned(format!("{scopes} {starts_at}/{end}"))), ..record }
    }

    /// A member was taken out of a patient's care team.
    pub fn access_ended(by: By, patient: &UserId, member: &UserId) -> Self {
        Self::new(by, AuditAction::AccessEnded).object(format!("user:{member}")).patient(patient)
    }
}

/// The records of break-glass. Why a patient was opened stays out of the trail: it is somebody's sentence.
impl AuditRecord {
    /// A patient was opened in an emergency.
    pub fn break_glass_started(by: By, access: &BreakGlass) -> Self {
        Self::of_break_glass(by, AuditAction::BreakGlassStarted, access)
    }

    /// Such an access ended: by itself, or because somebody ended it.
    pub fn break_glass_ended(by: By, access: &BreakGlass) -> Self {
        Self::of_break_glass(by, AuditAction::BreakGlassEnded, access)
    }

    fn of_break_glass(by: By, action: AuditAction, access: &BreakGlass) -> Self {
        let record = Self::new(By { break_glass: Some(access.id), ..by }, action).patient(&access.patient);
        record.object(format!("user:{}", access.member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for action in AuditAction::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        for outcome in AuditOutcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        assert_eq!("look".parse::<AuditAction>(), Err(UnknownWord));
    }
}
