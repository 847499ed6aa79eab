//! Keys that an issuer publishes: fetched beside the shards, kept while the address fails.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::fetch::{Address, fetch};
use super::keys::KeySet;
use crate::config::AuthSettings;

/// The published keys of one issuer. One task fetches them ([`Jwks::run`]), so that there is one request at a time
/// however many tokens wait for it.
pub(crate) struct Jwks {
    issuer: String,
    address: Address,
    keys: ArcSwapOption<KeySet>,
    wanted: Notify,
    /// How often it was looked, or not looked because it was looked just before.
    looks: watch::Sender<u64>,
    failing: AtomicBool,
    refresh: Duration,
    min_interval: Duration,
    timeout: Duration,
    max_bytes: usize,
    max_keys: usize,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Jwks {
    pub(super) fn new(issuer: &str, url: &str, settings: &AuthSettings) -> Result<Arc<Self>, String> {
        let seconds = |number: u32| Duration::from_secs(number.into());
        Ok(Arc::new(Self {
            issuer: issuer.to_owned(),
            address: Address::parse(url)?,
            keys: ArcSwapOption::empty(),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
            failing: AtomicBool::new(false),
            refresh: seconds(settings.jwks_refresh_s),
            min_interval: seconds(settings.jwks_min_interval_s),
            timeout: seconds(settings.jwks_timeout_s),
            max_bytes: settings.jwks_max_bytes as usize,
            max_keys: settings.jwks_max_keys as usize,
        }))
    }

    /// The keys fetched last, if any were.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// Fetches the keys, now and then, and when a token names an unknown one, but not more often than the settings
    /// allow. `count` is told of each attempt whether it brought keys.
    pub(crate) async fn run(self: Arc<Self>, count: impl Fn(bool)) {
        let mut last: Option<Instant> = None;
        loop {
            if last.is_none_or(|last| last.elapsed() >= self.min_interval) {
                last = Some(Instant::now());
                count(self.fetch().await);
            }
            self.looks.send_modify(|looks| *looks += 1);
            // Not sooner than it may be fetched: there would be nothing to do but to come back at once.
            let refresh = self.refresh.max(self.min_interval);
            let due = last.map_or(refresh, |last| refresh.saturating_sub(last.elapsed()));
            tokio::select! {
                () = tokio::time::sleep(due) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// How often it was looked.
    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        *self.looks.borrow()
    }

    /// Waits until it was looked once more, at most as long as a look may take.
    pub(crate) async fn look_again(&self) {
        let mut looks = self.looks.subscribe();
        self.wanted.notify_one();
        // Nobody looks: then nothing new is known.
        let _ = tokio::time::timeout(self.timeout, looks.changed()).await;
    }

    /// Fetches the keys once, and says whether it brought any.
    pub(crate) async fn fetch(&self) -> bool {
        let outcome = match tokio::time::timeout(self.timeout, fetch(&self.address, self.max_bytes)).await {
            Ok(Ok(text)) => {
                KeySet::of_jwks(&text, self.max_keys).map_err(|problem| format!("the answer {problem}"))
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(format!("no whole answer within {} s", self.timeout.as_secs())),
        };
        let failed = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(keys) => {
                if failed {
                    tracing::info!(issuer = self.issuer, keys = keys.len(), "the keys can be fetched again");
                }
                self.keys.store(Some(Arc::new(keys)));
                true
            }
            Err(problem) => {
                if !failed {
                    let kept = self.keys.load().as_ref().map_or(0, |keys| keys.len());
                    tracing::warn!(
                        issuer = self.issuer,
                        problem,
                        kept,
                        "the keys of an issuer cannot be fetched"
                    );
                }
                false
            }
        }
    }
}
