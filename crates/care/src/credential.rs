//! Credentials: what API tokens open, and what the audit trail says of passwords, passkeys, sign-ins and tokens.

use std::fmt;
use std::str::FromStr;

use healthmate_protocol::UserId;
use uuid::Uuid;

use crate::access::Action;
use crate::audit::{AuditAction, AuditOutcome, AuditRecord, By};

/// One thing that an API token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenScope {
    /// Read and hear the measurements that its user may.
    ReadMeasurements,
    /// Store the measurements that its user may.
    WriteMeasurements,
}

impl TokenScope {
    /// Every scope, in the order of their words.
    pub const ALL: [Self; 2] = [Self::ReadMeasurements, Self::WriteMeasurements];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadMeasurements => "read_measurements",
            Self::WriteMeasurements => "write_measurements",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no scope of an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: use read_measurements or write_measurements")]
pub struct UnknownTokenScope;

impl FromStr for TokenScope {
    type Err = UnknownTokenScope;

    fn from_str(text: &str) -> Result<Self, UnknownTokenScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownTokenScope)
    }
}

/// What an API token opens, at most: never more than its user may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenScopes(u8);

impl TokenScopes {
    /// Whether nothing is opened.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is among them.
    pub fn contains(self, scope: TokenScope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Each of them, in the order of their words.
    pub fn iter(self) -> impl Iterator<Item = TokenScope> {
        TokenScope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// Whether `action` is opened, as far as the token decides.
    pub fn opens(self, action: Action) -> bool {
        match action {
            Action::ReadMeasurements => self.contains(TokenScope::ReadMeasurements),
            Action::WriteMeasurements => self.contains(TokenScope::WriteMeasurements),
            // No token of a device opens anything else.
            _ => false,
        }
    }
}

impl FromIterator<TokenScope> for TokenScopes {
    fn from_iter<T: IntoIterator<Item = TokenScope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

/// Their words, with a space between.
impl fmt::Display for TokenScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(TokenScope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for TokenScopes {
    type Err = UnknownTokenScope;

    fn from_str(text: &str) -> Result<Self, UnknownTokenScope> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }
}

/// How a user proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignInMethod {
    /// By a password.
    Password,
    /// By a passkey.
    Passkey,
}

impl SignInMethod {
    /// The word on the wire, in the database and in the trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Passkey => "passkey",
        }
    }
}

/// The word is no way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a way to sign in")]
pub struct UnknownSignInMethod;

impl FromStr for SignInMethod {
    type Err = UnknownSignInMethod;

    fn from_str(text: &str) -> Result<Self, UnknownSignInMethod> {
        let mut methods = [Self::Password, Self::Passkey].into_iter();
        methods.find(|method| method.as_str() == text).ok_or(UnknownSignInMethod)
    }
}

/// The records of what changes credentials.
impl AuditRecord {
    /// A user signed in. `by` is the user.
    pub fn signed_in(by: By, user: &UserId, sign_in: Uuid, method: SignInMethod) -> Self {
        Self::new(by, AuditAction::SignIn).object(sign_in_object(user, sign_in)).reason(method.as_str())
    }

    /// Somebody was not let in. A name that is no user's is not repeated: it may be a password in the wrong field.
    pub fn sign_in_refused(by: By, known: Option<&UserId>, reason: &'static str) -> Self {
        let record = Self::new(by, AuditAction::SignIn).outcome(AuditOutcome::Denied).reason(reason);
        match known {
            Some(user) => record.object(format!("user:{user}")),
            None => record,
        }
    }

    /// A sign-in ended: by its own user, or because it was taken away.
    pub fn sign_in_ended(by: By, user: &UserId, sign_in: Uuid, reason: &'static str) -> Self {
        let own = by.actor.user() == Some(user);
        let action = if own { AuditAction::SignOut } else { AuditAction::CredentialRevoked };
        Self::new(by, action).object(sign_in_object(user, sign_in)).reason(reason)
    }

    /// A user got a password.
    pub fn password_set(by: By, user: &UserId) -> Self {
        Self::new(by, AuditAction::CredentialIssued).object(format!("user:{user}/password"))
    }

    /// A user got an API token.
    pub fn api_token_issued(by: By, user: &UserId, token: Uuid) -> Self {
        Self::new(by, AuditAction::CredentialIssued).object(format!("user:{user}/api_token:{token}"))
    }

    /// An API token was taken back.
    pub fn api_token_revoked(by: By, user: &UserId, token: Uuid) -> Self {
        Self::new(by, AuditAction::CredentialRevoked).object(format!("user:{user}/api_token:{token}"))
    }

    /// A user got a passkey.
    pub fn passkey_added(by: By, user: &UserId) -> Self {
        Self::new(by, AuditAction::CredentialIssued).object(format!("user:{user}/passkey"))
    }

    /// A user was refused a passkey.
    pub fn passkey_refused(by: By, user: &UserId, reason: &'static str) -> Self {
        Self::passkey_added(by, user).reason(reason).outcome(AuditOutcome::Denied)
    }

    /// A passkey was taken back.
    pub fn passkey_removed(by: By, user: &UserId) -> Self {
        Self::new(by, AuditAction::CredentialRevoked).object(format!("user:{user}/passkey"))
    }

    /// One token of `user` was taken back before its end.
    pub fn token_revoked(by: By, user: &UserId) -> Self {
        Self::new(by, AuditAction::CredentialRevoked).object(format!("user:{user}/token"))
    }
}

fn sign_in_object(user: &UserId, sign_in: Uuid) -> String {
    format!("user:{user}/sign_in:{sign_in}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_their_words() {
        let both: TokenScopes = TokenScope::ALL.into_iter().collect();
        assert_eq!(both.to_string(), "read_measurements write_measurements");
        assert_eq!("write_measurements  read_measurements".parse(), Ok(both));
        assert_eq!("".parse(), Ok(TokenScopes::default()));
        assert_eq!("all".parse::<TokenScopes>(), Err(UnknownTokenScope));
        assert!(TokenScopes::default().is_empty() && !both.is_empty());
        for scope in TokenScope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        for method in [SignInMethod::Password, SignInMethod::Passkey] {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
    }

    #[test]
    fn a_scope_opens_its_action_and_no_other() {
        let of = |scope| [scope].into_iter().collect::<TokenScopes>();
        let opens = |scopes: TokenScopes| {
            Action::ALL.into_iter().filter(|action| scopes.opens(*action)).collect::<Vec<_>>()
        };
        assert_eq!(opens(TokenScopes::default()), []);
        assert_eq!(opens(of(TokenScope::ReadMeasurements)), [Action::ReadMeasurements]);
        assert_eq!(opens(of(TokenScope::WriteMeasurements)), [Action::WriteMeasurements]);
    }

    #[test]
    fn ending_ones_own_sign_in_is_signing_out() {
        let (ana, now) = (UserId::new("ana").expect("valid"), healthmate_protocol::Timestamp::from_micros(0));
        let actor = crate::audit::Actor::User(ana.clone(), crate::user::Role::Patient);
        let own = By { actor, ..By::command_line(now) };
        let action = |by| AuditRecord::sign_in_ended(by, &ana, Uuid::nil(), "logout").action;
        assert_eq!(action(own), AuditAction::SignOut);
        assert_eq!(action(By::command_line(now)), AuditAction::CredentialRevoked);
    }
}
