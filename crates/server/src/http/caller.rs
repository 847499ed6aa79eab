//! Who sends a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;
use healthmate_care::{Action, AuditAction, AuditOutcome, AuditRecord, By, TokenScope, TokenScopes, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};

use super::Problem;
use crate::app::App;
use crate::auth::{self, TOKEN_SCOPE, access};
use crate::node::Reach;
use crate::tls::{NOT_ITS_CERTIFICATE, Shown};

/// Where the client of a request is: the listener puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    fn of(parts: &Parts) -> Option<IpAddr> {
        parts.extensions.get::<Self>().map(|Self(address)| *address)
    }
}

/// The active user whose token the request carries in `Authorization: Bearer`.
#[derive(Debug)]
pub(super) struct Caller {
    identity: auth::Identity,
    address: Option<IpAddr>,
}

impl Caller {
    async fn with_token(app: &App, token: &str, parts: &Parts) -> Result<Self, Problem> {
        let address = ClientAddress::of(parts);
        let shown = parts.extensions.get::<Shown>();
        let refused = match auth::authenticate(app, token, address).await {
            Ok(identity) if shown.is_none_or(|shown| shown.admits(&identity.user)) => {
                if let Some(scopes) = identity.credential.scopes() {
                    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
                    if let Err(refused) = must_open(scopes, &parts.method, route) {
                        let by = By::user(&identity.user, address, app.clock.now());
                        let what =
                            if parts.method == Method::GET { AuditAction::Read } else { AuditAction::Write };
                        app.record_refusal(AuditRecord::not_opened(by, what, route, TOKEN_SCOPE)).await;
                        return Err(refused);
                    }
                }
                return Ok(Self { identity, address });
            }
            Ok(_) => Problem::new(ErrorCode::AccessDenied, NOT_ITS_CERTIFICATE),
            Err(error) => error.into(),
        };
        if !refused.code().retry() {
            let by = By::anonymous(address, app.clock.now());
            app.record_refusal(AuditRecord::sign_in_denied(by, refused.code().as_str())).await;
        }
        Err(refused)
    }

    pub(super) fn user(&self) -> &User {
        &self.identity.user
    }

    /// What the caller came in with.
    pub(super) fn credential(&self) -> &auth::Credential {
        &self.identity.credential
    }

    /// When the caller's token ends.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.identity.expires_at
    }

    /// The caller as the one who acts, now: for the audit trail, and for whatever changes the store.
    pub(super) fn by(&self, app: &App) -> By {
        By::user(self.user(), self.address, app.clock.now())
    }

    /// Records that the caller looks at `object`, or steers it, as an operator: before it is done, so that it is not done
    /// where it cannot be recorded.
    pub(super) async fn administers(&self, app: &App, object: String) -> Result<(), Problem> {
        let record = AuditRecord::new(self.by(app), AuditAction::Administered).object(object);
        Ok(app.store.audit(vec![record]).await?)
    }

    /// Whose connections the caller may see and steer.
    pub(super) fn reach(&self) -> Reach {
        Reach::of(self.user())
    }

    /// Goes on only if the caller may see and steer the connections of `user`. A refusal is recorded.
    pub(super) async fn must_reach(&self, app: &App, user: &UserId) -> Result<(), Problem> {
        if self.reach().covers(Some(user)) {
            return Ok(());
        }
        let record = AuditRecord::new(self.by(app), AuditAction::Administered).object(format!("user:{user}"));
        let record = record.reason("not_administrator").outcome(AuditOutcome::Denied);
        app.record_refusal(record).await;
        let detail = "the connections of other users are for administrators";
        Err(Problem::new(ErrorCode::AccessDenied, detail))
    }

    /// Goes on only if the caller may do `action` with `object` of the data of `patient`, with the record of it. A refusal
    /// is recorded; what is allowed is for the caller to record: before the answer, or with the change. For a patient
    /// who does not exist the answer is the same as for somebody else's.
    pub(super) async fn must(
        &self,
        app: &App,
        action: Action,
        object: impl Into<String>,
        patient: &UserId,
    ) -> Result<AuditRecord, Problem> {
        let what = match action {
            Action::ReadMeasurements | Action::SeeAccessLog => AuditAction::Read,
            Action::WriteMeasurements => AuditAction::Write,
            _ => AuditAction::Administered,
        };
        self.must_as(app, (action, what), object, patient).await
    }

    /// The same, where what lets the caller change `object` is asked for to read it.
    pub(super) async fn must_to_read(
        &self,
        app: &App,
        action: Action,
        object: impl Into<String>,
        patient: &UserId,
    ) -> Result<AuditRecord, Problem> {
        self.must_as(app, (action, AuditAction::Read), object, patient).await
    }

    async fn must_as(
        &self,
        app: &App,
        (action, what): (Action, AuditAction),
        object: impl Into<String>,
        patient: &UserId,
    ) -> Result<AuditRecord, Problem> {
        let access = access::may(app, self.user(), action, patient).await?;
        let record = access.record(self.by(app), what, object, patient);
        if access.decision.is_allowed() {
            return Ok(record);
        }
        app.record_refusal(record).await;
        Err(Problem::denied(access.decision.reason()))
    }
}

/// What API tokens open: a method and a route, and the scope that opens them; none where every token does. What is not
/// here is not for API tokens.
const OPENED: &[(&Method, &str, Option<TokenScope>)] = &[
    (&Method::GET, "/v1/me", None),
    (&Method::POST, "/v1/measurements", Some(TokenScope::WriteMeasurements)),
    (&Method::GET, "/v1/patients", Some(TokenScope::ReadMeasurements)),
    (&Method::GET, "/v1/patients/{id}/measurements", Some(TokenScope::ReadMeasurements)),
    (&Method::GET, "/v1/patients/{id}/presence", Some(TokenScope::ReadMeasurements)),
];

/// Goes on only if an API token with these scopes opens the route.
fn must_open(scopes: TokenScopes, method: &Method, route: &str) -> Result<(), Problem> {
    let opened = OPENED.iter().find(|(opened, path, _)| **opened == *method && *path == route);
    match opened {
        Some((.., None)) => Ok(()),
        Some((.., Some(scope))) if scopes.contains(*scope) => Ok(()),
        _ => {
            let detail = "this API token does not open this: it was issued for less";
            Err(Problem::new(ErrorCode::AccessDenied, detail))
        }
    }
}

/// Nobody, if the request carries no token. A token that is refused is refused here too.
impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Problem> {
        match auth::authorization(&parts.headers) {
            None => Ok(None),
            Some(token) => Self::with_token(app, token, parts).await.map(Some),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(token) = auth::authorization(&parts.headers) else {
            return Err(Problem::new(ErrorCode::TokenMissing, ErrorCode::TokenMissing.remedy()));
        };
        Self::with_token(app, token, parts).await
    }
}
