//! `/v1/auth/…`: signing in, staying signed in, and signing out.
//!
//! Tokens come in bodies and headers, never in URLs, and never as cookies: what a browser does not add to requests by
//! itself, no other page can have it send (CSRF).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use healthmate_care::{By, SignInMethod, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::{Error, NewSignIn, Revocation, Revoked, SignIn};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::caller::{Caller, ClientAddress};
use super::{Problem, json};
use crate::app::App;
use crate::auth::TokenNames;
use crate::auth::opaque::RefreshToken;
use crate::telemetry::labels::SignInResult;

mod attempt;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod passkeys;
pub(super) mod password;
pub(super) mod refresh;
pub(super) mod sign_ins;
#[cfg(test)]
mod tests;

const DAY_MS: i64 = 86_400_000;

/// The longest name of a client, a token or a passkey, in characters.
const MAX_NAME_CHARS: usize = 64;

/// The tokens of a sign-in.
#[derive(Serialize, JsonSchema)]
pub(super) struct SignedIn {
    /// Who signed in.
    user: UserId,
    /// `patient`, `caregiver`, `nurse`, `doctor`, `admin` or `device`.
    role: &'static str,
    /// Names the sign-in.
    sign_in: String,
    /// For `Authorization: Bearer`, and for `authenticate`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    expires_in: u32,
    /// For `POST /v1/auth/refresh`, once.
    refresh_token: String,
    /// How long the refresh token is good, in seconds, if it is not used.
    refresh_expires_in: i64,
}

impl SignedIn {
    fn new(app: &App, user: &User, sign_in: &SignIn, refresh: &RefreshToken) -> Self {
        let (settings, now) = (&app.settings.sign_in, app.clock.now());
        let names =
            TokenNames { id: Some(app.clock.uuid().to_string()), sign_in: Some(sign_in.id.to_string()) };
        let idle_end = now.plus_millis(i64::from(settings.idle_days) * DAY_MS);
        Self {
            user: user.id.clone(),
            role: user.role.as_str(),
            sign_in: sign_in.id.to_string(),
            access_token: app.verifier.issue_named(&user.id, names, settings.access_token_s, now),
            token_type: "Bearer",
            expires_in: settings.access_token_s,
            refresh_token: refresh.text(),
            refresh_expires_in: sign_in.expires_at.min(idle_end).millis_since(now) / 1000,
        }
    }
}

/// By what somebody proved to be a user.
enum Proof {
    /// The password, with the hash that it was verified with.
    Password { verified: String },
    /// A passkey.
    Passkey,
}

/// Begins a sign-in of `user`, who proved to be one.
async fn begin(
    app: &App,
    user: &User,
    proof: Proof,
    label: Option<String>,
    address: Option<IpAddr>,
) -> Result<SignedIn, Error> {
    let now = app.clock.now();
    let (method, verified) = match proof {
        Proof::Password { verified } => (SignInMethod::Password, Some(verified)),
        Proof::Passkey => (SignInMethod::Passkey, None),
    };
    let days = i64::from(app.settings.sign_in.refresh_token_days);
    let sign_in = SignIn {
        id: app.clock.uuid(),
        user: user.id.clone(),
        method,
        label,
        address,
        created_at: now,
        last_used_at: now,
        expires_at: now.plus_millis(days * DAY_MS),
    };
    let refresh = RefreshToken::first(sign_in.id, &*app.clock);
    let (family, current) = (refresh.family_hash(), refresh.own_hash());
    let new = NewSignIn { sign_in: sign_in.clone(), verified, family, current };
    app.store.add_sign_in(new, By::user(user, address, now)).await?;
    app.metrics.sign_ins.of(SignInResult::Succeeded).inc();
    Ok(SignedIn::new(app, user, &sign_in, &refresh))
}

/// Until when an access token that was issued by now may be good.
fn access_until(app: &App) -> Timestamp {
    let seconds = app.settings.sign_in.access_token_s + app.settings.auth.leeway_s;
    app.clock.now().plus_millis(i64::from(seconds) * 1000)
}

/// Makes it known on this node at once that sign-ins were ended.
fn note_ended(app: &App, ended: &[Uuid]) {
    let until = access_until(app);
    for id in ended {
        app.revocations.add(Revocation { what: Revoked::SignIn(id.to_string()), until });
    }
    app.access_changed();
}

/// A name that people give something: 1 to 64 characters, none of them a control character.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), Problem> {
    if (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("must be 1 to {MAX_NAME_CHARS} characters, without control characters");
    Err(Problem::field(field, detail))
}

/// Where the client of a request is.
pub(super) struct From(pub(super) Option<IpAddr>);

impl FromRequestParts<Arc<App>> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ClientAddress>().map(|ClientAddress(address)| *address)))
    }
}

/// A body of JSON, read as a `T`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes: Result<Bytes, BytesRejection> = Bytes::from_request(request, app).await;
        let bytes = json::body(app, &headers, bytes)?;
        Ok(Self(json::parse(&bytes)?))
    }
}

impl Caller {
    /// Goes on only if the caller came in as a whole user: an API token changes no credentials.
    pub(super) fn must_be_whole(&self) -> Result<(), Problem> {
        match self.credential().scopes() {
            None => Ok(()),
            Some(_) => Err(Problem::new(ErrorCode::AccessDenied, "an API token cannot change credentials")),
        }
    }
}
