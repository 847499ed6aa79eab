//! Attempts to prove who one is: how many there may be, and what came of them.

use std::net::IpAddr;

use healthmate_care::AuditRecord;
use healthmate_protocol::ErrorCode;

use crate::app::App;
use crate::auth::password::MAX_CHARS;
use crate::auth::throttle::Attempt;
use crate::http::Problem;
use crate::http::caller::Caller;
use crate::telemetry::labels::SignInResult;

/// Begins an attempt, unless it comes too soon after others.
pub(super) fn begin_attempt(app: &App, attempt: &Attempt) -> Result<(), Problem> {
    let now = tokio::time::Instant::now().into_std();
    app.throttle.begin(attempt, now).map_err(|wait| {
        app.metrics.sign_ins.of(SignInResult::Throttled).inc();
        let detail = "too many attempts to sign in went wrong: wait before the next one";
        Problem::new(ErrorCode::TooManyRequests, detail).after(wait)
    })
}

/// Ends an attempt. It counts only if what was sent was looked at: not where the server is busy, or cannot read.
pub(super) fn end_attempt<T>(app: &App, attempt: &Attempt, checked: &Result<T, Problem>) {
    match checked {
        Ok(_) => app.throttle.succeeded(attempt),
        Err(problem) if problem.code() == ErrorCode::SignInRefused => {
            app.metrics.sign_ins.of(SignInResult::Refused).inc();
        }
        Err(_) => app.throttle.undone(attempt),
    }
}

/// Goes on only if this is the caller's password, which stands in `field` of the request: whoever holds no more than a stolen
/// token may be guessing. That it is not is on record before it is said. Gives the hash that it was verified with.
pub(super) async fn prove(
    app: &App,
    caller: &Caller,
    address: Option<IpAddr>,
    (field, password): (&'static str, String),
) -> Result<String, Problem> {
    if !(1..=MAX_CHARS).contains(&password.chars().count()) {
        return Err(Problem::field(field, format!("must be 1 to {MAX_CHARS} characters")));
    }
    let attempt = Attempt::new(Some(caller.user().id.as_str()), address);
    begin_attempt(app, &attempt)?;
    let checked = check(app, caller, password).await;
    end_attempt(app, &attempt, &checked);
    checked.map_err(
        |problem| if problem.code() == ErrorCode::SignInRefused { problem.at(field) } else { problem },
    )
}

async fn check(app: &App, caller: &Caller, password: String) -> Result<String, Problem> {
    let user = &caller.user().id;
    let hash = app.store.password(user).await?;
    let reason = if hash.is_some() { "wrong_password" } else { "no_password" };
    let matches = app.passwords.verify(password, hash.clone()).await?;
    if let Some(verified) = hash.filter(|_| matches) {
        return Ok(verified);
    }
    app.store.audit(vec![AuditRecord::sign_in_refused(caller.by(app), Some(user), reason)]).await?;
    Err(Problem::new(ErrorCode::SignInRefused, "the password is another one"))
}
