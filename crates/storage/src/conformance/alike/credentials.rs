//! Steps that change credentials.

use healthmate_care::{SignInMethod, TokenScope};
use healthmate_protocol::UserId;

use super::super::Failed;
use super::{Taken, told};
use crate::{
    API_TOKEN_REMEMBERED_MS, ApiToken, NewPassword, NewSignIn, Passkey, Revocation, Revoked, Rotation,
    SignIn, SignInEnd, SignIns,
};

impl Taken<'_> {
    /// Passwords and sign-ins.
    pub(super) async fn sign_ins(&mut self) -> Result<String, Failed> {
        Ok(match self.pick(8) {
            0 => {
                let (hash, end) = (self.hash(), self.end()?);
                let instead_of = if self.is_so() { Some(self.hash()) } else { None };
                told(
                    "password",
                    self.store.set_password(NewPassword { hash, instead_of }, end, self.by()).await,
                )
            }
            1 | 2 => told("sign in", self.store.add_sign_in(self.sign_in()?, self.by()).await),
            3..7 => told("rotate", self.store.rotate(self.rotation(), self.by()).await),
            _ => told("sign out", self.store.end_sign_ins(self.end()?, self.by()).await),
        })
    }

    /// API tokens, passkeys, and what is taken back and forgotten.
    pub(super) async fn credentials(&mut self) -> Result<String, Failed> {
        Ok(match self.pick(8) {
            0..3 => self.api_token().await?,
            3..6 => self.passkey().await?,
            6 => {
                let what = Revoked::Token(self.one(&["one", "other"]).to_owned());
                let (person, revocation) = (self.person()?, Revocation { what, until: self.moment() });
                told("revoke", self.store.revoke_token(&person, revocation, self.by()).await)
            }
            _ => {
                let later = self.one(&[0, API_TOKEN_REMEMBERED_MS]);
                // Which go first of those that ended at the same moment is the store's choice.
                let (before, limit) = (self.moment().plus_millis(later), self.one(&[0, 1000]));
                told("forget", self.store.forget_ended(before, limit).await)
            }
        })
    }

    fn hash(&mut self) -> String {
        self.one(&["$one", "$two"]).to_owned()
    }

    fn end(&mut self) -> Result<SignInEnd, Failed> {
        let which = match self.pick(3) {
            0 => SignIns::One(self.name()),
            1 => SignIns::AllBut(self.name()),
            _ => SignIns::All,
        };
        Ok(SignInEnd { user: self.person()?, which, reason: "logout", access_until: self.moment() })
    }

    fn sign_in(&mut self) -> Result<NewSignIn, Failed> {
        let sign_in = SignIn {
            id: self.name(),
            user: self.person()?,
            method: SignInMethod::Password,
            label: if self.is_so() { Some("Ana's phone".to_owned()) } else { None },
            address: None,
            created_at: self.now,
            last_used_at: self.now,
            expires_at: self.now.plus_millis(i64::from(self.pick(200))),
        };
        let verified = if self.pick(4) == 0 { Some(self.hash()) } else { None };
        Ok(NewSignIn { sign_in, verified, family: [7; 32], current: [self.pick(3); 32] })
    }

    fn rotation(&mut self) -> Rotation {
        Rotation {
            sign_in: self.name(),
            family: if self.pick(8) == 0 { [8; 32] } else { [7; 32] },
            presented: [self.pick(3); 32],
            next: [self.pick(3); 32],
            grace_since: self.now.plus_millis(-10),
            idle_since: self.now.plus_millis(-100),
            access_until: self.moment(),
        }
    }

    async fn api_token(&mut self) -> Result<String, Failed> {
        let (id, user) = (self.name(), self.person()?);
        let token = ApiToken {
            id,
            user: user.clone(),
            name: "scale".to_owned(),
            scopes: [TokenScope::WriteMeasurements].into_iter().collect(),
            created_at: self.now,
            expires_at: if self.is_so() { Some(self.moment()) } else { None },
            last_used_at: None,
            revoked_at: None,
        };
        Ok(match self.pick(4) {
            0 => told("revoke", self.store.revoke_api_token(&user, id, self.by()).await),
            1 => told("used", self.store.api_tokens_used(vec![(id, self.moment())]).await),
            _ => told("token", self.store.add_api_token(token, [1; 32], self.by()).await),
        })
    }

    async fn passkey(&mut self) -> Result<String, Failed> {
        let (credential, user): (Vec<u8>, UserId) = (vec![self.pick(3)], self.person()?);
        Ok(match self.pick(4) {
            0 => told("remove", self.store.remove_passkey(&user, &credential, self.by()).await),
            1 => {
                let (counter, at) = (self.pick(3).into(), self.moment());
                told("used", self.store.passkey_used(&credential, counter, at).await)
            }
            _ => {
                let passkey = Passkey {
                    credential,
                    user,
                    name: "phone".to_owned(),
                    algorithm: -7,
                    public_key: vec![4; 65],
                    counter: self.pick(2).into(),
                    created_at: self.moment(),
                    last_used_at: None,
                };
                told("passkey", self.store.add_passkey(passkey, self.by()).await)
            }
        })
    }
}
