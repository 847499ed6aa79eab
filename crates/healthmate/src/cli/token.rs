//! `healthmate token`

use clap::{Args, Subcommand};
use healthmate_care::{Clock, TokenScope};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_server::auth::{self, TokenNames, TokenVerifier};
use healthmate_storage::Directory;
use serde::Serialize;
use serde_json::Value;

use super::admin::AdminArgs;
use super::failure::Failure;
use super::settings::{existing_signer, open_store, signer, system_clock};
use super::span::Span;
use super::{api_token, block_on};

/// Issue tokens, look into them, and take them back
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  healthmate token issue nurse-1 --ttl 8h > nurse.token
  healthmate token inspect - < nurse.token
  healthmate token revoke - < nurse.token
  healthmate token issue-api watch-1 --name 'Ana’s watch' --scope write_measurements > watch.token";

#[derive(Subcommand)]
enum Action {
    /// Print a token for a user
    Issue {
        /// The user
        user: UserId,
        /// How long it is good
        #[arg(long, value_name = "SPAN", default_value = "12h")]
        ttl: Span,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Print an API token: for a device or program, until it is revoked
    IssueApi {
        /// The user whose rights it has a part of
        user: UserId,
        /// What people call it
        #[arg(long, value_name = "NAME")]
        name: String,
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        #[arg(help = "What it opens: read_measurements or write_measurements; give it twice for both")]
        scopes: Vec<TokenScope>,
        /// How long it is good [default: until it is revoked]
        #[arg(long, value_name = "SPAN")]
        ttl: Option<Span>,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Take back a token: its connections end within a second
    Revoke {
        /// The token, or the id of an API token; - reads it from stdin, which keeps it out of the shell's history
        token: String,
        #[command(flatten)]
        common: AdminArgs,
    },
    /// Say what a token claims, and whether the server would take it
    Inspect {
        /// The token, not an API token; - reads it from stdin, which keeps it out of the shell's history
        token: String,
        #[command(flatten)]
        common: AdminArgs,
    },
}

/// What `inspect` found. It does not repeat the token.
#[derive(Serialize)]
struct Inspected {
    header: Value,
    claims: Value,
    /// The issuer in the settings that is asked about it; absent for the server itself, and for an `iss` that is nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Whether the server would take it; absent where there is no secret to check it with.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<bool>,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Token {
    /// Does what is asked.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let clock = system_clock();
        match self.action {
            Action::Issue { user, ttl, common } => issue(&user, ttl, clock.as_ref(), &common),
            Action::IssueApi { user, name, scopes, ttl, common } => {
                api_token::issue(&user, name, &scopes, ttl, &common)
            }
            Action::Revoke { token, common } => api_token::revoke(&token, &common),
            Action::Inspect { token, common } => inspect(&token, clock.now(), &common),
        }
    }
}

fn issue(id: &UserId, ttl: Span, clock: &dyn Clock, common: &AdminArgs) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Issued<'a> {
        user: &'a UserId,
        expires_at: Timestamp,
        token: &'a str,
    }
    if ttl.seconds == 0 {
        return Err(Failure::usage("--ttl must be at least 1s"));
    }
    let settings = common.settings.load()?;
    let store = open_store(&settings, &system_clock())?;
    let user = block_on(async { store.user(id).await.map_err(Failure::failed) })?;
    let user = user.ok_or_else(|| Failure::failed(format!("there is no user {id}")))?;
    if !user.active {
        return Err(Failure::failed(format!("user {id} is disabled")));
    }
    let now = clock.now();
    // With a name, so that it can be taken back.
    let names = TokenNames { id: Some(clock.uuid().to_string()), sign_in: None };
    let token = signer(&settings, clock)?.issue_named(id, names, ttl.seconds, now);
    let expires_at = now.plus_millis(i64::from(ttl.seconds) * 1000);
    common.answer(&Issued { user: id, expires_at, token: &token }, || token.clone())
}

fn inspect(token: &str, now: Timestamp, common: &AdminArgs) -> Result<(), Failure> {
    let token = api_token::read(token)?;
    if auth::api_token_id(&token).is_some() {
        return Err(Failure::failed(
            "this is an API token, which claims nothing by itself: `GET /v1/users/{id}/tokens` says what each of a user's \
             opens and when it was used",
        ));
    }
    let parts = auth::inspect(&token).map_err(|error| Failure::failed(format!("no token: {error}")))?;
    let verifier = existing_signer(&common.settings.load()?)?;
    if let Some(verifier) = &verifier {
        // Published keys are fetched now: no server is asked.
        block_on(async {
            verifier.fetch_keys().await;
            Ok(())
        })?;
    }
    let issuer = verifier.as_ref().and_then(|verifier| verifier.issuer_of(&token).ok().flatten());
    let issuer = issuer.map(str::to_owned);
    let verdict = verifier.as_ref().map(|verifier| verdict(verifier, &token, now));
    let part = |name: &str| parts.get(name).cloned().unwrap_or_default();
    let inspected = Inspected {
        header: part("header"),
        claims: part("claims"),
        issuer,
        valid: verdict.map(|verdict| verdict.is_ok()),
        code: verdict.and_then(Result::err),
    };
    common.answer(&inspected, || describe(&inspected))
}

fn verdict(verifier: &TokenVerifier, token: &str, now: Timestamp) -> Result<(), &'static str> {
    verifier.verify(token, now).map(drop).map_err(|error| error.code().as_str())
}

fn describe(inspected: &Inspected) -> String {
    let mut lines = vec![format!("header  {}", inspected.header), format!("claims  {}", inspected.claims)];
    for (claim, what) in [("iat", "issued"), ("nbf", "not before"), ("exp", "ends")] {
        if let Some(seconds) = inspected.claims.get(claim).and_then(Value::as_i64) {
            let time = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
            lines.push(format!("{what:<11} {time}"));
        }
    }
    if let Some(issuer) = &inspected.issuer {
        lines.push(format!("issuer      {issuer}"));
    }
    lines.push(match (inspected.valid, inspected.code) {
        (Some(true), _) => "good: the server of this data folder takes it".to_owned(),
        (_, Some(code)) => format!("refused: {code}"),
        _ => "not checked: there is no secret in the data folder".to_owned(),
    });
    lines.join("\n")
}
