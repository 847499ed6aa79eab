//! `POST /v1/auth/login`: signs in with a password.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use healthmate_care::{AuditRecord, By, User};
use healthmate_protocol::{ErrorCode, UserId};
use healthmate_storage::{Error, NewPassword, SignInEnd, SignIns};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::attempt::{begin_attempt, end_attempt};
use super::{Body, From, Proof, SignedIn, begin, check_name};
use crate::app::App;
use crate::auth::password::{Busy, MAX_CHARS};
use crate::auth::throttle::Attempt;
use crate::http::Problem;

/// How often a password is looked at that is changed, or hashed anew, while it is looked at.
const LOOKS: u32 = 3;

/// Who wants to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LoginRequest {
    /// The user's id.
    user: String,
    /// The user's password, 1 to 128 characters.
    password: String,
    /// What the client calls itself, 1 to 64 characters: shown in the list of sign-ins.
    label: Option<String>,
}

/// Signs in with a password.
///
/// The answer is the same, and takes as long, whether the user is unknown, disabled or has no password, or the password
/// is wrong. After some wrong attempts at a user, or from an address, each further one must wait, twice as long every time.
#[utoipa::path(
    post, path = "/v1/auth/login", operation_id = "login", tag = "sign-in",
    request_body(content = ref("#/components/schemas/LoginRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The tokens.", body = ref("#/components/schemas/SignedIn"),
         content_type = "application/json"),
        (status = 400, description = "`malformed_json`, or `invalid_field` with its `field`."),
        (status = 401, description = "`sign_in_refused`."),
        (status = 413, description = "`invalid_field`: the body is too large."),
        (status = 415, description = "`invalid_field`: the body is not `application/json`."),
        (status = 429, description = "`too_many_requests`: wait as `Retry-After` says."),
        (status = 503, description = "`storage_unavailable` or `storage_full`: send it again after `Retry-After`."),
    ),
)]
pub(in crate::http) async fn login(
    State(app): State<Arc<App>>,
    From(address): From,
    Body(request): Body<LoginRequest>,
) -> Result<Json<SignedIn>, Problem> {
    let LoginRequest { user, password, label } = request;
    if !(1..=MAX_CHARS).contains(&password.chars().count()) {
        return Err(Problem::field("password", format!("must be 1 to {MAX_CHARS} characters")));
    }
    label.as_deref().map_or(Ok(()), |label| check_name("label", label))?;
    let attempt = Attempt::new(Some(&user), address);
    begin_attempt(&app, &attempt)?;
    let signed_in = sign_in(&app, &user, &password, label, address).await;
    end_attempt(&app, &attempt, &signed_in);
    signed_in.map(Json)
}

/// Signs the user in, if the password is theirs: when it is looked at, and still when the sign-in is stored.
async fn sign_in(
    app: &App,
    name: &str,
    password: &str,
    label: Option<String>,
    address: Option<IpAddr>,
) -> Result<SignedIn, Problem> {
    for _ in 0..LOOKS {
        let (user, verified) = check(app, name, password, address).await?;
        let Some(verified) = current_hash(app, &user, password, verified).await? else { continue };
        match begin(app, &user, Proof::Password { verified }, label.clone(), address).await {
            Err(Error::Changed(_)) => {}
            begun => return Ok(begun?),
        }
    }
    Err(Problem::new(ErrorCode::TooManyRequests, "the password is being changed: try again"))
}

/// The user and the hash of the password, if that is the one. Everybody is asked for in the same way, and has a password
/// hashed.
async fn check(
    app: &App,
    name: &str,
    password: &str,
    address: Option<IpAddr>,
) -> Result<(User, String), Problem> {
    let id = UserId::new(name).or_else(|_| UserId::new("nobody")).map_err(|_| refused())?;
    let found = app.store.user(&id).await?.filter(|user| user.id.as_str() == name);
    let hash = app.store.password(&id).await?.filter(|_| found.is_some());
    let reason = match (&found, &hash) {
        (None, _) => "user_unknown",
        (Some(user), _) if !user.active => "user_inactive",
        (Some(_), None) => "no_password",
        (Some(_), Some(_)) => "wrong_password",
    };
    let matches = app.passwords.verify(password.to_owned(), hash.clone()).await?;
    match (found, hash) {
        (Some(user), Some(hash)) if matches && user.active => Ok((user, hash)),
        (found, _) => {
            let by = By::anonymous(address, app.clock.now());
            let known = found.as_ref().map(|user| &user.id);
            app.store.audit(vec![AuditRecord::sign_in_refused(by, known, reason)]).await?;
            Err(refused())
        }
    }
}

fn refused() -> Problem {
    Problem::new(ErrorCode::SignInRefused, "user and password do not belong together")
}

/// The hash of the user's password as passwords are hashed now, so that the answer to no user takes longer than to another:
/// the verified one, or one that is stored in its place. `None` where that was changed meanwhile.
async fn current_hash(
    app: &App,
    user: &User,
    password: &str,
    verified: String,
) -> Result<Option<String>, Problem> {
    if app.passwords.is_current(&verified) {
        return Ok(Some(verified));
    }
    let hash = app.passwords.hash(password.to_owned()).await?;
    let now = app.clock.now();
    // No sign-in has this id: none ends.
    let which = SignIns::One(Uuid::nil());
    let end = SignInEnd { user: user.id.clone(), which, reason: "rehashed", access_until: now };
    let new = NewPassword { hash: hash.clone(), instead_of: Some(verified) };
    match app.store.set_password(new, end, By::server(now)).await {
        Err(Error::Changed(_)) => Ok(None),
        set => Ok(set.map(|_| Some(hash))?),
    }
}

impl std::convert::From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::new(ErrorCode::TooManyRequests, busy.to_string())
    }
}
