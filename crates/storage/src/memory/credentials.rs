//! Credentials in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use healthmate_care::{AuditRecord, By};
use healthmate_protocol::{Timestamp, UserId};
use uuid::Uuid;

use super::MemoryStore;
use super::state::State;
use crate::{
    API_TOKEN_REMEMBERED_MS, ApiToken, Credentials, Error, MAX_API_TOKENS, MAX_PASSKEYS, NewPassword,
    NewSignIn, Passkey, Revocation, Revoked, Rotated, Rotation, SecretHash, SignIn, SignInEnd, SignIns,
};

/// What is held of credentials.
#[derive(Default)]
pub(super) struct Held {
    passwords: BTreeMap<UserId, String>,
    sign_ins: BTreeMap<Uuid, Family>,
    api_tokens: BTreeMap<Uuid, (ApiToken, SecretHash)>,
    passkeys: Vec<Passkey>,
    revoked: BTreeMap<Revoked, Timestamp>,
}

impl Held {
    /// Forgets all credentials of users, and says how many there were.
    pub(super) fn erase(&mut self, users: &[UserId]) -> [(&'static str, u64); 4] {
        let before = self.counts();
        self.passwords.retain(|user, _| !users.contains(user));
        self.sign_ins.retain(|_, family| !users.contains(&family.sign_in.user));
        self.api_tokens.retain(|_, (token, _)| !users.contains(&token.user));
        self.passkeys.retain(|passkey| !users.contains(&passkey.user));
        let after = self.counts();
        std::array::from_fn(|n| (before[n].0, before[n].1 - after[n].1))
    }

    fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("password", self.passwords.len() as u64),
            ("sign_in", self.sign_ins.len() as u64),
            ("api_token", self.api_tokens.len() as u64),
            ("passkey", self.passkeys.len() as u64),
        ]
    }
}

/// A sign-in and its refresh tokens.
struct Family {
    sign_in: SignIn,
    shared: SecretHash,
    current: SecretHash,
    previous: Option<SecretHash>,
    rotated_at: Timestamp,
    ended: bool,
}

impl Family {
    /// Becomes the next, or says why not.
    fn rotate(&mut self, rotation: &Rotation, now: Timestamp, is_active: bool) -> Rotated {
        if self.shared != rotation.family {
            return Rotated::Unknown;
        }
        if self.ended {
            return Rotated::Ended;
        }
        if self.sign_in.expires_at <= now || self.sign_in.last_used_at < rotation.idle_since {
            return Rotated::Expired;
        }
        let is_current = rotation.presented == self.current;
        let is_in_grace =
            self.previous == Some(rotation.presented) && self.rotated_at >= rotation.grace_since;
        if !is_current && !is_in_grace {
            return Rotated::Reused(self.sign_in.user.clone());
        }
        if !is_active {
            return Rotated::Inactive(self.sign_in.user.clone());
        }
        if is_current {
            self.previous = Some(self.current);
            self.rotated_at = now;
        }
        self.current = rotation.next;
        self.sign_in.last_used_at = now;
        Rotated::Renewed(self.sign_in.clone())
    }
}

impl State {
    fn known(&self, user: &UserId) -> Result<(), Error> {
        self.users.contains_key(user).then_some(()).ok_or(Error::NotFound("user"))
    }

    /// Goes on only if the user's password is still this one, if one is given.
    fn still(&self, user: &UserId, hash: Option<&String>) -> Result<(), Error> {
        let is_so = hash.is_none() || self.credentials.passwords.get(user) == hash;
        is_so.then_some(()).ok_or(Error::Changed("password"))
    }

    fn revoke(&mut self, what: Revoked, until: Timestamp) {
        let held = self.credentials.revoked.entry(what).or_insert(until);
        *held = until.max(*held);
        self.directory_version += 1;
    }

    fn end_sign_ins(&mut self, end: &SignInEnd, by: &By) -> Vec<Uuid> {
        let families = self.credentials.sign_ins.values_mut();
        let open = families.filter(|family| !family.ended && family.sign_in.user == end.user);
        let mut ended = Vec::new();
        for family in open.filter(|family| end.which.includes(family.sign_in.id)) {
            family.ended = true;
            ended.push((family.sign_in.created_at, family.sign_in.id));
        }
        ended.sort_unstable();
        let ended: Vec<_> = ended.into_iter().map(|(_, id)| id).collect();
        for id in &ended {
            self.revoke(Revoked::SignIn(id.to_string()), end.access_until);
            self.audit([AuditRecord::sign_in_ended(by.clone(), &end.user, *id, end.reason)]);
        }
        ended
    }

    fn rotate(&mut self, rotation: &Rotation, by: &By) -> Rotated {
        let Some(family) = self.credentials.sign_ins.get_mut(&rotation.sign_in) else {
            return Rotated::Unknown;
        };
        let is_active = self.users.get(&family.sign_in.user).is_some_and(|user| user.active);
        let rotated = family.rotate(rotation, by.at, is_active);
        if let Rotated::Reused(user) = &rotated {
            let which = SignIns::One(rotation.sign_in);
            let reason = "refresh_token_reused";
            let end = SignInEnd { user: user.clone(), which, reason, access_until: rotation.access_until };
            self.end_sign_ins(&end, by);
        }
        rotated
    }
}

#[async_trait]
impl Credentials for MemoryStore {
    async fn password(&self, user: &UserId) -> Result<Option<String>, Error> {
        Ok(self.state.lock().credentials.passwords.get(user).cloned())
    }

    async fn set_password(&self, new: NewPassword, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error> {
        let mut state = self.state.lock();
        state.known(&end.user)?;
        state.still(&end.user, new.instead_of.as_ref())?;
        state.credentials.passwords.insert(end.user.clone(), new.hash);
        let ended = state.end_sign_ins(&end, &by);
        state.audit([AuditRecord::password_set(by, &end.user)]);
        Ok(ended)
    }

    async fn add_sign_in(&self, new: NewSignIn, by: By) -> Result<(), Error> {
        let NewSignIn { sign_in, verified, family, current } = new;
        let mut state = self.state.lock();
        state.known(&sign_in.user)?;
        state.still(&sign_in.user, verified.as_ref())?;
        if state.credentials.sign_ins.contains_key(&sign_in.id) {
            return Err(Error::Exists("sign-in"));
        }
        state.audit([AuditRecord::signed_in(by, &sign_in.user, sign_in.id, sign_in.method)]);
        let rotated_at = sign_in.created_at;
        let family = Family { sign_in, shared: family, current, previous: None, rotated_at, ended: false };
        state.credentials.sign_ins.insert(family.sign_in.id, family);
        Ok(())
    }

    async fn sign_ins(&self, user: &UserId) -> Result<Vec<SignIn>, Error> {
        let state = self.state.lock();
        let open = state.credentials.sign_ins.values().filter(|family| !family.ended);
        let mut sign_ins: Vec<_> =
            open.map(|family| &family.sign_in).filter(|sign_in| sign_in.user == *user).cloned().collect();
        sign_ins.sort_by_key(|sign_in| std::cmp::Reverse((sign_in.created_at, sign_in.id)));
        Ok(sign_ins)
    }

    async fn rotate(&self, rotation: Rotation, by: By) -> Result<Rotated, Error> {
        Ok(self.state.lock().rotate(&rotation, &by))
    }

    async fn end_sign_ins(&self, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error> {
        Ok(self.state.lock().end_sign_ins(&end, &by))
    }

    async fn add_api_token(&self, token: ApiToken, hash: SecretHash, by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.known(&token.user)?;
        let held = state.credentials.api_tokens.values().map(|(token, _)| token);
        let held = held.filter(|held| held.user == token.user && held.revoked_at.is_none()).count();
        if held >= MAX_API_TOKENS as usize {
            return Err(Error::TooMany("API token", MAX_API_TOKENS));
        }
        if state.credentials.api_tokens.contains_key(&token.id) {
            return Err(Error::Exists("API token"));
        }
        state.audit([AuditRecord::api_token_issued(by, &token.user, token.id)]);
        state.credentials.api_tokens.insert(token.id, (token, hash));
        Ok(())
    }

    async fn api_token(&self, id: Uuid) -> Result<Option<(ApiToken, SecretHash)>, Error> {
        Ok(self.state.lock().credentials.api_tokens.get(&id).cloned())
    }

    async fn api_tokens(&self, user: &UserId) -> Result<Vec<ApiToken>, Error> {
        let state = self.state.lock();
        let tokens = state.credentials.api_tokens.values().map(|(token, _)| token);
        let mut tokens: Vec<_> =
            tokens.filter(|token| token.user == *user && token.revoked_at.is_none()).cloned().collect();
        tokens.sort_by_key(|token| std::cmp::Reverse((token.created_at, token.id)));
        Ok(tokens)
    }

    async fn revoke_api_token(&self, user: &UserId, id: Uuid, by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        let held = state.credentials.api_tokens.get_mut(&id).map(|(token, _)| token);
        let held = held.filter(|token| token.user == *user && token.revoked_at.is_none());
        held.ok_or(Error::NotFound("API token"))?.revoked_at = Some(by.at);
        state.directory_version += 1;
        state.audit([AuditRecord::api_token_revoked(by, user, id)]);
        Ok(())
    }

    async fn api_tokens_used(&self, used: Vec<(Uuid, Timestamp)>) -> Result<(), Error> {
        let mut state = self.state.lock();
        for (id, at) in used {
            if let Some((token, _)) = state.credentials.api_tokens.get_mut(&id) {
                token.last_used_at = token.last_used_at.max(Some(at));
            }
        }
        Ok(())
    }

    async fn add_passkey(&self, passkey: Passkey, by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.known(&passkey.user)?;
        let held = state.credentials.passkeys.iter().filter(|held| held.user == passkey.user).count();
        if held >= MAX_PASSKEYS as usize {
            return Err(Error::TooMany("passkey", MAX_PASSKEYS));
        }
        if state.credentials.passkeys.iter().any(|held| held.credential == passkey.credential) {
            return Err(Error::Exists("passkey"));
        }
        state.audit([AuditRecord::passkey_added(by, &passkey.user)]);
        state.credentials.passkeys.push(passkey);
        Ok(())
    }

    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, Error> {
        let state = self.state.lock();
        Ok(state.credentials.passkeys.iter().find(|held| held.credential == credential).cloned())
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, Error> {
        let state = self.state.lock();
        let mut passkeys: Vec<_> =
            state.credentials.passkeys.iter().filter(|held| held.user == *user).cloned().collect();
        passkeys.sort_by(|one, other| {
            (one.created_at, &one.credential).cmp(&(other.created_at, &other.credential))
        });
        Ok(passkeys)
    }

    async fn passkey_used(&self, credential: &[u8], counter: u32, at: Timestamp) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let mut passkeys = state.credentials.passkeys.iter_mut();
        let held = passkeys.find(|held| held.credential == credential).ok_or(Error::NotFound("passkey"))?;
        if counter <= held.counter && (counter, held.counter) != (0, 0) {
            return Ok(false);
        }
        held.counter = counter;
        held.last_used_at = Some(at);
        Ok(true)
    }

    async fn remove_passkey(&self, user: &UserId, credential: &[u8], by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        let mut passkeys = state.credentials.passkeys.iter();
        let place = passkeys.position(|held| held.user == *user && held.credential == credential);
        state.credentials.passkeys.remove(place.ok_or(Error::NotFound("passkey"))?);
        state.audit([AuditRecord::passkey_removed(by, user)]);
        Ok(())
    }

    async fn revoke_token(&self, user: &UserId, revocation: Revocation, by: By) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.revoke(revocation.what, revocation.until);
        state.audit([AuditRecord::token_revoked(by, user)]);
        Ok(())
    }

    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Error> {
        let state = self.state.lock();
        let live = state.credentials.revoked.iter().filter(|(_, until)| **until > now);
        Ok(live.map(|(what, until)| Revocation { what: what.clone(), until: *until }).collect())
    }

    async fn forget_ended(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let mut state = self.state.lock();
        let held = &mut state.credentials;
        let sign_ins = held.sign_ins.values().map(|family| &family.sign_in);
        let mut sign_ins: Vec<_> = sign_ins
            .filter(|sign_in| sign_in.expires_at <= before)
            .map(|sign_in| (sign_in.expires_at, sign_in.id))
            .collect();
        let revoked = held.revoked.iter().filter(|(_, until)| **until <= before);
        let mut revoked: Vec<_> = revoked.map(|(what, until)| (*until, what.clone())).collect();
        let remembered = before.plus_millis(-API_TOKEN_REMEMBERED_MS);
        let tokens = held.api_tokens.values().filter_map(|(token, _)| {
            let ended_at = [token.revoked_at, token.expires_at].into_iter().flatten().min()?;
            (ended_at <= remembered).then_some((ended_at, token.id))
        });
        let mut tokens: Vec<_> = tokens.collect();
        sign_ins.sort_unstable();
        revoked.sort_unstable();
        tokens.sort_unstable();
        sign_ins.truncate(limit as usize);
        revoked.truncate(limit as usize);
        tokens.truncate(limit as usize);
        for (_, id) in &sign_ins {
            held.sign_ins.remove(id);
        }
        for (_, what) in &revoked {
            held.revoked.remove(what);
        }
        for (_, id) in &tokens {
            held.api_tokens.remove(id);
        }
        Ok((sign_ins.len() + revoked.len() + tokens.len()) as u64)
    }
}
