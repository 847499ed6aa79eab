//! The rules of the house, pure: metrics and units, plausibility, who may see what, ids and the clock.
//!
//! Nothing here waits, reads the wall clock or rolls dice: what a rule depends on is its parameter. To add a
//! metric, add a line to [`metric`], a waveform one to [`waveform`]; to change who may see what, change [`access`].

pub mod access;
pub mod audit;
pub mod backoff;
pub mod break_glass;
pub mod clock;
pub mod credential;
pub mod measurement;
pub mod metric;
pub mod rate;
pub mod team;
pub mod user;
pub mod waveform;

pub use access::{Action, Decision, Grants, Reason, decide};
pub use audit::{Actor, AuditAction, AuditEntry, AuditOutcome, AuditRecord, By};
pub use backoff::Backoff;
pub use break_glass::BreakGlass;
pub use clock::{Clock, ManualClock, SystemClock};
pub use credential::{SignInMethod, TokenScope, TokenScopes};
pub use measurement::{Measurement, Refusal};
pub use metric::Metric;
pub use rate::{Bucket, Rate};
pub use team::{CareRelation, Relationship, Scope, Scopes};
pub use user::{Role, User};
pub use waveform::Waveform;
