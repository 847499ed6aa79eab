//! An issuer from elsewhere: what its tokens must be, and whose they are.

use std::sync::Arc;

use healthmate_care::Role;
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use serde_json::Value;

use super::claims::{Claims, RawClaims};
use super::signature::Algorithm;
use super::token::{TokenError, Unverified};
use crate::config::{AuthSettings, IssuerSettings, OnUnknownUser};

pub(crate) mod fetch;
pub(crate) mod jwks;
mod keys;
mod strict;

use self::jwks::Jwks;
use self::keys::{KeySet, Selected};
use self::strict::Strict;

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("issuer {issuer}: {problem}")]
pub struct IssuerError {
    /// Its name.
    pub issuer: String,
    /// What is wrong, and with which file.
    pub problem: String,
}

/// What a token from elsewhere says of its user beside the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The issuer's name, for logs.
    pub(crate) issuer: Arc<str>,
    /// The role the token gives, where the issuer gives roles.
    pub(crate) role: Option<Role>,
    /// The role that a user gets who is seen for the first time; `None` where such users are refused.
    pub(crate) first_role: Option<Role>,
    /// The roles that the token may give and take.
    grantable: Arc<[Role]>,
    /// What people call the user, at first sight.
    pub(crate) called: Option<String>,
}

impl Elsewhere {
    /// Whether the token may give that role, or take it for another one.
    pub(crate) fn may_grant(&self, role: Role) -> bool {
        self.grantable.contains(&role)
    }
}

enum Source {
    /// Known from the start.
    Fixed(KeySet),
    /// Published by the issuer.
    Published(Arc<Jwks>),
}

/// One issuer.
pub(super) struct Issuer {
    name: Arc<str>,
    iss: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    source: Source,
    user_claim: String,
    user_prefix: String,
    role_claim: Option<String>,
    roles: Vec<(String, Role)>,
    default_role: Option<Role>,
    on_unknown_user: OnUnknownUser,
    grantable: Arc<[Role]>,
    leeway_s: i64,
}

impl Issuer {
    pub(super) fn new(settings: &IssuerSettings, auth: &AuthSettings) -> Result<Self, IssuerError> {
        let failed = |problem| IssuerError { issuer: settings.name.clone(), problem };
        let source = match (&settings.secret, &settings.pem_file, &settings.jwks_url) {
            (Some(secret), ..) => Source::Fixed(KeySet::of_secret(secret)),
            (_, Some(path), _) => Source::Fixed(KeySet::of_pem_file(path).map_err(failed)?),
            (_, _, Some(url)) => Source::Published(Jwks::new(&settings.name, url, auth).map_err(failed)?),
            _ => return Err(failed("has no keys".to_owned())),
        };
        let role = |word: &String| word.parse::<Role>().map_err(|error| failed(error.to_string()));
        let roles = settings.roles.iter().map(|(value, word)| Ok((value.clone(), role(word)?)));
        let algorithm =
            |word: &String| word.parse().map_err(|_| failed(format!("knows no algorithm {word}")));
        Ok(Self {
            name: settings.name.as_str().into(),
            iss: settings.iss.clone(),
            audience: settings.audience.clone(),
            algorithms: settings.algorithms.iter().map(algorithm).collect::<Result<_, _>>()?,
            source,
            user_claim: settings.user_claim.clone(),
            user_prefix: settings.user_prefix.clone(),
            role_claim: settings.role_claim.clone(),
            roles: roles.collect::<Result<_, _>>()?,
            default_role: settings.default_role.as_ref().map(role).transpose()?,
            on_unknown_user: settings.on_unknown_user,
            grantable: settings.grantable_roles.iter().map(role).collect::<Result<_, _>>()?,
            leeway_s: i64::from(settings.leeway_s),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn issues(&self, iss: &str) -> bool {
        self.iss == iss
    }

    /// What publishes its keys, where something does.
    pub(super) fn published(&self) -> Option<&Arc<Jwks>> {
        match &self.source {
            Source::Fixed(_) => None,
            Source::Published(jwks) => Some(jwks),
        }
    }

    /// Whose token this is. Waits for nothing: `token_key` where the token names a key that is not known, and
    /// `keys_unavailable` where none is known yet; [`Jwks::look_again`] may bring it.
    pub(super) fn verify(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Claims, TokenError> {
        let algorithm = token.algorithm.parse().ok().filter(|named| self.algorithms.contains(named));
        let algorithm: Algorithm = algorithm.ok_or(TokenError(ErrorCode::TokenAlgorithm))?;
        let (raw, claims) = match &self.source {
            Source::Fixed(keys) => Self::open(token, keys, algorithm)?,
            Source::Published(jwks) => match jwks.keys() {
                Some(keys) => Self::open(token, &keys, algorithm)?,
                None => return Err(TokenError(ErrorCode::KeysUnavailable)),
            },
        };
        // The token chose the issuer by this; now it is signed.
        if raw.iss.as_deref() != Some(self.iss.as_str()) {
            return Err(TokenError(ErrorCode::TokenIssuer));
        }
        raw.check_times(now, self.leeway_s)?;
        raw.check_audience(Some(&self.audience))?;
        let user = self.user(&claims)?;
        let elsewhere = self.elsewhere(&claims)?;
        // What others call a sign-in names nothing here.
        let raw = RawClaims { sid: None, ..raw };
        Ok(Claims { elsewhere: Some(Box::new(elsewhere)), ..raw.of(user)? })
    }

    /// The claims, if one of the keys signed them.
    fn open(
        token: &Unverified<'_>,
        keys: &KeySet,
        algorithm: Algorithm,
    ) -> Result<(RawClaims, Strict), TokenError> {
        let kid = token.kid.as_deref();
        let tried = match keys.select(kid, algorithm) {
            Selected::None => return Err(TokenError(ErrorCode::TokenKey)),
            Selected::Keys(keys) => keys,
        };
        for key in tried {
            match token.claims_signed_with(key, algorithm) {
                Ok(raw) => return Ok((raw, token.claims_once_signed()?)),
                Err(TokenError(ErrorCode::TokenSignature)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TokenError(ErrorCode::TokenSignature))
    }

    fn user(&self, claims: &Strict) -> Result<UserId, TokenError> {
        let named = claim(claims, &self.user_claim).and_then(Value::as_str);
        let named = named.filter(|named| !named.is_empty() && named.len() <= UserId::MAX_LEN);
        let id = named.and_then(|named| UserId::new(&format!("{}{named}", self.user_prefix)).ok());
        id.ok_or(TokenError(ErrorCode::TokenUser))
    }

    fn elsewhere(&self, claims: &Strict) -> Result<Elsewhere, TokenError> {
        let role = match &self.role_claim {
            None => None,
            Some(name) => {
                let given = self.given_role(claim(claims, name))?.or(self.default_role);
                Some(given.ok_or(TokenError(ErrorCode::TokenRole))?)
            }
        };
        let first_role = role.or(self.default_role);
        let called = claims.0.get("name").and_then(Value::as_str).filter(|name| is_a_name(name));
        Ok(Elsewhere {
            issuer: Arc::clone(&self.name),
            role,
            grantable: Arc::clone(&self.grantable),
            first_role: first_role.filter(|_| self.on_unknown_user == OnUnknownUser::Create),
            called: called.map(str::to_owned),
        })
    }

    /// The one role that these values mean. Values that mean none are other people's.
    fn given_role(&self, values: Option<&Value>) -> Result<Option<Role>, TokenError> {
        let values = match values {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let mut given = None;
        for value in values.iter().filter_map(Value::as_str) {
            let meant = self.roles.iter().find(|(known, _)| known == value).map(|(_, role)| *role);
            if given.is_some() && meant.is_some() && given != meant {
                return Err(TokenError(ErrorCode::TokenRole));
            }
            given = given.or(meant);
        }
        Ok(given)
    }
}

/// A claim by its name, or by a JSON pointer.
fn claim<'a>(claims: &'a Strict, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { claims.0.pointer(name) } else { claims.0.get(name) }
}

/// What people can be called.
fn is_a_name(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
