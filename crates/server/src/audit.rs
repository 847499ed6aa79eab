//! Which refusals are recorded: those that come too often are counted, so that nobody fills the disk with them.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use healthmate_care::audit::Checkpoint;
use healthmate_care::{AuditRecord, Bucket, By, Metric, Rate};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::Error;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::config::AuditSettings;
use crate::recent::Recent;

/// How many users and addresses are told apart, in each of two generations.
const HALF: usize = 4096;

/// What a page of history is called in the trail.
pub(crate) fn history_object(metric: Option<Metric>) -> String {
    metric.map_or("measurements".to_owned(), |metric| format!("measurements:{}", metric.as_str()))
}

/// Who is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    User(UserId),
    Address(IpAddr),
    Unknown,
}

/// How often refusals are recorded.
pub(crate) struct Refusals {
    each: Rate,
    all: Rate,
    state: Mutex<State>,
    left_out: AtomicU64,
}

struct State {
    each: Recent<Source, Bucket>,
    all: Bucket,
}

impl Refusals {
    /// Nothing was refused yet.
    pub(crate) fn new(settings: &AuditSettings) -> Self {
        let rate = |count| Rate::per_minute(count, count);
        let state = State { each: Recent::new(HALF), all: Bucket::default() };
        Self {
            each: rate(settings.refusals_per_minute_each),
            all: rate(settings.refusals_per_minute),
            state: Mutex::new(state),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether this one is recorded; if not, it is counted.
    pub(crate) fn admit(&self, by: &By, now: Instant) -> bool {
        let mut state = self.state.lock();
        let source = source(by);
        let mut bucket = state.each.get(&source).copied().unwrap_or_default();
        let admitted = bucket.take(self.each, now).is_ok() && state.all.take(self.all, now).is_ok();
        if admitted {
            state.each.insert(source, bucket);
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// How many were left out since this was asked last.
    pub(crate) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

/// A user, or where nobody knows who it is, the address: of IPv6, the network that one customer has.
fn source(by: &By) -> Source {
    match (by.actor.user(), by.address) {
        (Some(user), _) => Source::User(user.clone()),
        (None, Some(IpAddr::V6(address))) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Source::Address(Ipv6Addr::from(network).into())
        }
        (None, Some(address)) => Source::Address(address),
        (None, None) => Source::Unknown,
    }
}

impl App {
    /// Records that the server starts, with the digest of its settings without their secrets.
    pub(crate) async fn record_start(&self) -> Result<(), Error> {
        let digest = Sha256::digest(self.settings.redacted().to_string());
        let record = AuditRecord::server_started(By::server(self.clock.now()), &format!("{digest:x}"));
        self.store.audit(vec![record]).await
    }

    /// Signs where the trail stands, if that is due; with `now`, if there was a record since the last checkpoint.
    pub(crate) async fn sign_checkpoint(&self, now: bool) -> Result<(), Error> {
        let (Some(key), Some((seq, link))) = (&self.checkpoint_key, self.store.audit_head().await?) else {
            return Ok(());
        };
        let time = self.clock.now();
        let last = self.store.last_checkpoint().await?;
        let (signed, at) = last.map_or((0, Timestamp::from_micros(0)), |last| (last.seq, last.at));
        let settings = &self.settings.audit;
        let late = at.plus_millis(i64::from(settings.checkpoint_minutes) * 60_000) <= time;
        let due = now || late || seq - signed.min(seq) >= u64::from(settings.checkpoint_records);
        if seq <= signed || !due {
            return Ok(());
        }
        let checkpoint = key.sign(seq, &link, time);
        self.store.add_checkpoint(checkpoint.clone()).await?;
        // Here it is out of reach of whoever can write the database, if logs go elsewhere.
        let Checkpoint { link, key, signature, .. } = &checkpoint;
        tracing::info!(seq, link, key, signature, at = %time, "audit.checkpoint");
        Ok(())
    }

    /// Records a refusal, unless there were too many lately. It stays a refusal where it cannot be recorded.
    pub(crate) async fn record_refusal(&self, record: AuditRecord) {
        let now = tokio::time::Instant::now().into_std();
        if self.refusals.admit(&record.by, now)
            && let Err(error) = self.store.audit(vec![record]).await
        {
            self.metrics.audit_failures.inc();
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }

    /// Counts the refusals that were left out, and records their number, if there were any.
    pub(crate) async fn record_left_out(&self) {
        let count = self.refusals.take_left_out();
        if count == 0 {
            return;
        }
        self.metrics.audit_left_out.inc_by(count);
        let record = AuditRecord::refusals_left_out(By::server(self.clock.now()), count);
        if let Err(error) = self.store.audit(vec![record]).await {
            self.metrics.audit_failures.inc();
            tracing::error!(%error, count, "the number of refusals that were left out could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use healthmate_care::{Role, User};

    use super::*;

    #[test]
    fn refusals_are_bounded_for_each_and_for_all() {
        let settings =
            AuditSettings { refusals_per_minute_each: 2, refusals_per_minute: 5, ..Default::default() };
        let refusals = Refusals::new(&settings);
        let now = tokio::time::Instant::now().into_std();
        let at = Timestamp::from_micros(0);
        let from = |address: &str| By::anonymous(Some(address.parse().expect("valid")), at);
        let take = |by: &By, times| (0..times).filter(|_| refusals.admit(by, now)).count();
        assert_eq!(take(&from("192.0.2.1"), 3), 2);
        assert_eq!(take(&from("2001:db8::1"), 1), 1);
        assert_eq!(take(&from("2001:db8::2"), 2), 1, "one customer");
        let id = UserId::new("nora").expect("valid");
        let nora = User { id, role: Role::Nurse, name: String::new(), device_of: None, active: true };
        let nora = By::user(&nora, Some("192.0.2.1".parse().expect("valid")), at);
        assert_eq!(take(&nora, 2), 1, "the fifth of all");
        assert_eq!((refusals.take_left_out(), refusals.take_left_out()), (3, 0));
        assert!(refusals.admit(&from("192.0.2.1"), now + Duration::from_secs(30)));
    }
}
