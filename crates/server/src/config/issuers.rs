//! `[[auth.issuers]]`: who else's tokens are good.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use healthmate_care::Role;
use healthmate_protocol::UserId;
use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::secret::Secret;

/// How many issuers there may be.
pub const MAX_ISSUERS: usize = 32;

const KEY: &str = "auth.issuers";

/// One issuer of tokens from elsewhere, such as the identity system of a clinic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// What logs and metrics call it: 1 to 32 of a to z, 0 to 9 and `-`.
    pub name: String,
    /// The `iss` of its tokens, to the letter.
    pub iss: String,
    /// What the `aud` of its tokens must name.
    pub audience: String,
    /// The algorithms of its tokens: HS256, HS384, HS512 with a secret; RS256, RS384, RS512, PS256, PS384, PS512, ES256,
    /// ES384, ES512, `EdDSA` with public keys.
    pub algorithms: Vec<String>,
    /// The secret it signs with: at least as long as the digest of its algorithms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file with its public keys or certificates in PEM, at most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem_file: Option<PathBuf>,
    /// Where it publishes its public keys: `https://`, or `http://` on a loopback address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The claim that names the user. Default `sub`. With a `/` in front, a JSON pointer.
    #[serde(default = "sub")]
    pub user_claim: String,
    /// What is put before that name to make the user's id, so that two issuers cannot name the same user. Default
    /// nothing.
    #[serde(default)]
    pub user_prefix: String,
    /// The claim that names the role: a text, or a list of texts. With a `/` in front, a JSON pointer. Default none: the
    /// stored role counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_claim: Option<String>,
    /// Which role each of its values means.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// The role of who has none of these. Default none: such a token is refused where `role_claim` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<String>,
    /// What becomes of a user who is not known: `refuse` or `create`. Default `refuse`.
    #[serde(default)]
    pub on_unknown_user: OnUnknownUser,
    /// The roles that a token may give to a user, be it at first sight or later. Default patient, caregiver, nurse and
    /// doctor.
    #[serde(default = "grantable")]
    pub grantable_roles: Vec<String>,
    /// How far its clock and the server's may differ, in seconds: 0 to 60. Default 5.
    #[serde(default = "leeway")]
    pub leeway_s: u32,
}

/// What becomes of a user who is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknownUser {
    /// The token is refused.
    #[default]
    Refuse,
    /// The user is added, with the role that the token gives.
    Create,
}

fn sub() -> String {
    "sub".to_owned()
}

fn grantable() -> Vec<String> {
    ["patient", "caregiver", "nurse", "doctor"].map(str::to_owned).to_vec()
}

fn leeway() -> u32 {
    5
}

/// How long a secret must be for each of these, in bytes (RFC 7518, 3.2).
const WITH_SECRET: [(&str, usize); 3] = [("HS256", 32), ("HS384", 48), ("HS512", 64)];

const WITH_PUBLIC_KEYS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// The names of an issuer's settings.
pub(super) const FIELDS: [&str; 15] = [
    "name",
    "iss",
    "audience",
    "algorithms",
    "secret",
    "pem_file",
    "jwks_url",
    "user_claim",
    "user_prefix",
    "role_claim",
    "roles",
    "default_role",
    "on_unknown_user",
    "grantable_roles",
    "leeway_s",
];

/// Checks all issuers; `own` is the `iss` of the server's own tokens.
pub(super) fn check(issuers: &[IssuerSettings], own: Option<&str>, found: &mut Findings) {
    if issuers.len() > MAX_ISSUERS {
        found.add(KEY, format!("are {}, must be at most {MAX_ISSUERS}", issuers.len()));
    }
    let (mut names, mut issued) = (BTreeSet::new(), BTreeSet::new());
    for issuer in issuers {
        let mut wrong = |message: String| found.add(KEY, format!("issuer `{}`: {message}", issuer.name));
        if !names.insert(&issuer.name) {
            wrong("the name is taken by another issuer".to_owned());
        }
        if !issued.insert(issuer.iss.as_str()) || own == Some(issuer.iss.as_str()) {
            wrong("its iss is another issuer's too; give two keys to one issuer instead".to_owned());
        }
        issuer.check(&mut wrong);
    }
}

impl IssuerSettings {
    fn check(&self, wrong: &mut impl FnMut(String)) {
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(named) {
            wrong("name must be 1 to 32 of a to z, 0 to 9 and -".to_owned());
        }
        let texts = [
            ("iss", &self.iss),
            ("audience", &self.audience),
            ("user_claim", &self.user_claim),
            ("role_claim", self.role_claim.as_ref().unwrap_or(&self.iss)),
        ];
        for (field, text) in texts {
            if !(1..=256).contains(&text.len()) {
                wrong(format!("{field} must be 1 to 256 bytes"));
            }
        }
        if self.user_prefix.len() > 32
            || (!self.user_prefix.is_empty() && UserId::new(&self.user_prefix).is_err())
        {
            wrong("user_prefix must be at most 32 letters, digits, '-', '_', '.' and '@'".to_owned());
        }
        if self.leeway_s > 60 {
            wrong(format!("leeway_s is {}, must be 0 to 60 seconds", self.leeway_s));
        }
        self.check_keys(wrong);
        self.check_roles(wrong);
    }

    fn check_keys(&self, wrong: &mut impl FnMut(String)) {
        let sources =
            [self.secret.is_some(), self.pem_file.is_some(), self.jwks_url.is_some()].map(usize::from);
        if sources.iter().sum::<usize>() != 1 {
            return wrong("must have one of secret, pem_file and jwks_url".to_owned());
        }
        if self.algorithms.is_empty() {
            wrong("algorithms must name at least one".to_owned());
        }
        for algorithm in &self.algorithms {
            let with_secret = WITH_SECRET.iter().find(|(name, _)| name == algorithm);
            match (with_secret, &self.secret) {
                (Some((_, least)), Some(secret)) if secret.expose().len() < *least => {
                    wrong(format!("secret must be at least {least} bytes for {algorithm}"));
                }
                (Some(_), Some(_)) => {}
                (Some(_), None) => wrong(format!("{algorithm} needs a secret, and public keys are none")),
                (None, Some(_)) => {
                    wrong(format!("`{algorithm}` must be HS256, HS384 or HS512 with a secret"));
                }
                (None, None) if WITH_PUBLIC_KEYS.contains(&algorithm.as_str()) => {}
                (None, None) => {
                    let all = WITH_PUBLIC_KEYS.join(", ");
                    wrong(format!("`{algorithm}` must be one of {all} with public keys"));
                }
            }
        }
        if let Some(Err(problem)) = self.jwks_url.as_deref().map(crate::auth::check_jwks_url) {
            wrong(format!("jwks_url {problem}"));
        }
    }

    fn check_roles(&self, wrong: &mut impl FnMut(String)) {
        let named = self.roles.values().chain(&self.default_role).chain(&self.grantable_roles);
        for role in named {
            match role.parse() {
                Ok(Role::Device) => {
                    wrong("a token gives nobody the role device: add it, with its patient".to_owned());
                }
                Ok(_) => {}
                Err(error) => wrong(format!("`{role}` is {error}")),
            }
        }
        if self.role_claim.is_none() && !self.roles.is_empty() {
            wrong("roles needs role_claim beside it".to_owned());
        }
        if self.role_claim.is_some() && self.roles.is_empty() && self.default_role.is_none() {
            wrong("role_claim needs roles beside it".to_owned());
        }
        let creates = self.on_unknown_user == OnUnknownUser::Create;
        if creates && self.role_claim.is_none() && self.default_role.is_none() {
            wrong("on_unknown_user = \"create\" needs role_claim or default_role".to_owned());
        }
    }
}
