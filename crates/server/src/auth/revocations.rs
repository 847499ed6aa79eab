//! Tokens and sign-ins that were taken back, in memory: asked for at each connection and request.
//!
//! It holds them only until the tokens would have ended by themselves, so it stays as small as what is taken back within
//! the life of an access token. What another process takes back is here within half a second, by the watch over the
//! directory's version.

use std::collections::HashMap;

use healthmate_protocol::Timestamp;
use healthmate_storage::{Credentials, Error, Revocation, Revoked};
use parking_lot::RwLock;

/// What was taken back.
#[derive(Debug, Default)]
pub(crate) struct Revocations(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    sign_ins: HashMap<String, Timestamp>,
    tokens: HashMap<String, Timestamp>,
}

impl Revocations {
    /// Learns what the store knows, and forgets what has ended by `now`.
    pub(crate) async fn load(
        &self,
        store: &(impl Credentials + ?Sized),
        now: Timestamp,
    ) -> Result<(), Error> {
        let revocations = store.revocations(now).await?;
        let mut state = self.0.write();
        let State { sign_ins, tokens } = &mut *state;
        sign_ins.retain(|_, until| *until > now);
        tokens.retain(|_, until| *until > now);
        // What is here and was not read was taken back a moment ago, on this node: it stays.
        for revocation in revocations {
            state.add(revocation);
        }
        Ok(())
    }

    /// Counts from now on: for what this node took back itself.
    pub(crate) fn add(&self, revocation: Revocation) {
        self.0.write().add(revocation);
    }

    /// Whether a token with this `sid` and this `jti` was taken back.
    pub(crate) fn include(&self, sid: Option<&str>, jti: Option<&str>) -> bool {
        let state = self.0.read();
        sid.is_some_and(|sid| state.sign_ins.contains_key(sid))
            || jti.is_some_and(|jti| state.tokens.contains_key(jti))
    }
}

impl State {
    fn add(&mut self, Revocation { what, until }: Revocation) {
        match what {
            Revoked::SignIn(id) => self.sign_ins.insert(id, until),
            Revoked::Token(id) => self.tokens.insert(id, until),
        };
    }
}
