//! API tokens in memory: one that was used lately is taken again without a question to the store.
//!
//! What is here counts, as in `people.rs`, for a second after the last look at the directory's version, which changes when
//! a token is revoked. When a token was used last is noted here, and written once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use healthmate_protocol::{ErrorCode, Timestamp};
use healthmate_storage::{ApiToken, Credentials, Error, SecretHash};
use parking_lot::Mutex;
use uuid::Uuid;

use super::TokenError;
use super::opaque::ApiSecret;
use crate::recent::Recent;

/// How many are kept: half of them at least the ones used last.
const HALF: usize = 4096;

/// For how long a look at the directory's version is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A token and the hash of its secret.
type Held = Arc<(ApiToken, SecretHash)>;

/// The API tokens used lately.
#[derive(Debug)]
pub(crate) struct ApiTokens(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Grows with each change that was seen: what began to be read before it is not kept.
    change: u64,
    looked_at: Option<Instant>,
    tokens: Recent<Uuid, Held>,
    /// When each was used last, where that is not written yet.
    used: HashMap<Uuid, Timestamp>,
}

impl ApiTokens {
    pub(crate) fn new() -> Self {
        let tokens = Recent::new(HALF);
        Self(Mutex::new(State { change: 0, looked_at: None, tokens, used: HashMap::new() }))
    }

    /// The directory has changed, or it is not known what happened to it.
    pub(crate) fn changed(&self, looked_at: Instant) {
        let mut state = self.0.lock();
        state.change += 1;
        state.looked_at = Some(looked_at);
        state.tokens.clear();
    }

    /// The directory had not changed by a look that began at `looked_at`.
    pub(crate) fn unchanged(&self, looked_at: Instant) {
        self.0.lock().looked_at = Some(looked_at);
    }

    /// The token, if it is known at `instant`; or why it is refused.
    pub(crate) fn known(
        &self,
        secret: &ApiSecret,
        now: Timestamp,
        instant: Instant,
    ) -> Option<Result<Held, TokenError>> {
        let mut state = self.0.lock();
        let good = state.is_good(instant);
        let held = state.tokens.get(&secret.id).filter(|_| good).cloned()?;
        Some(state.take(held, secret, now))
    }

    /// The token, from the store if it is not known at `instant`.
    ///
    /// # Errors
    /// `token_revoked` if there is none such or it was taken back, `token_expired` if it has ended,
    /// `storage_unavailable` if it cannot be read.
    pub(crate) async fn find(
        &self,
        store: &(impl Credentials + ?Sized),
        secret: &ApiSecret,
        now: Timestamp,
        instant: Instant,
    ) -> Result<Held, TokenError> {
        if let Some(known) = self.known(secret, now, instant) {
            return known;
        }
        let change = self.0.lock().change;
        let found = store.api_token(secret.id).await.map_err(unreadable)?;
        let held = Arc::new(found.ok_or(TokenError(ErrorCode::TokenRevoked))?);
        let mut state = self.0.lock();
        let taken = state.take(Arc::clone(&held), secret, now);
        if taken.is_ok() && state.change == change {
            state.tokens.insert(secret.id, held);
        }
        taken
    }

    /// Whether the token with this id, which was taken before, still is.
    ///
    /// # Errors
    /// As [`ApiTokens::find`].
    pub(crate) async fn still(
        &self,
        store: &(impl Credentials + ?Sized),
        id: Uuid,
        now: Timestamp,
        instant: Instant,
    ) -> Result<(), TokenError> {
        let (change, held) = {
            let mut state = self.0.lock();
            let good = state.is_good(instant);
            (state.change, state.tokens.get(&id).filter(|_| good).cloned())
        };
        if let Some(held) = held {
            return good(&held.0, now);
        }
        let found = store.api_token(id).await.map_err(unreadable)?;
        let held = Arc::new(found.ok_or(TokenError(ErrorCode::TokenRevoked))?);
        good(&held.0, now)?;
        let mut state = self.0.lock();
        if state.change == change {
            state.tokens.insert(id, held);
        }
        Ok(())
    }

    /// Writes when tokens were used last, as far as that is not written.
    pub(crate) async fn write_uses(&self, store: &(impl Credentials + ?Sized)) -> Result<(), Error> {
        let used: Vec<_> = self.0.lock().used.drain().collect();
        if used.is_empty() {
            return Ok(());
        }
        let written = store.api_tokens_used(used.clone()).await;
        if written.is_err() {
            let mut state = self.0.lock();
            for (id, at) in used {
                state.used.entry(id).or_insert(at);
            }
        }
        written
    }
}

impl State {
    fn is_good(&self, instant: Instant) -> bool {
        self.looked_at.is_some_and(|looked_at| instant.saturating_duration_since(looked_at) < GOOD_FOR)
    }

    fn take(&mut self, held: Held, secret: &ApiSecret, now: Timestamp) -> Result<Held, TokenError> {
        let (token, hash) = &*held;
        // Hashes of 256 random bits: how long it takes to find them different tells nothing of use.
        if *hash != secret.hash() {
            return Err(TokenError(ErrorCode::TokenRevoked));
        }
        good(token, now)?;
        self.used.insert(token.id, now);
        Ok(held)
    }
}

fn good(token: &ApiToken, now: Timestamp) -> Result<(), TokenError> {
    if token.revoked_at.is_some() {
        return Err(TokenError(ErrorCode::TokenRevoked));
    }
    if token.expires_at.is_some_and(|end| end <= now) {
        return Err(TokenError(ErrorCode::TokenExpired));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives it")]
fn unreadable(error: Error) -> TokenError {
    tracing::error!(%error, "an API token could not be read");
    TokenError(ErrorCode::StorageUnavailable)
}
