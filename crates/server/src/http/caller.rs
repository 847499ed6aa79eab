//! Who sends a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use healthmate_care::{Action, AuditAction, AuditOutcome, AuditRecord, By, User};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};

use super::Problem;
use crate::app::App;
use crate::auth::{self, access};
use crate::node::Reach;

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
        match auth::authenticate(app, token, address).await {
            Ok(identity) => Ok(Self { identity, address }),
            Err(error) => {
                if !error.code().retry() {
                    let by = By::anonymous(address, app.clock.now());
                    app.record_refusal(AuditRecord::sign_in_denied(by, error.code().as_str())).await;
                }
                Err(error.into())
            }
        }
    }

    pub(super) fn user(&self) -> &User {
        &self.identity.user
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
        let access = access::may(app, self.user(), action, patient).await?;
        let what = match action {
            Action::ReadMeasurements | Action::SeeAccessLog => AuditAction::Read,
            Action::WriteMeasurements => AuditAction::Write,
            _ => AuditAction::Administered,
        };
        let record = access.record(self.by(app), what, object, patient);
        if access.decision.is_allowed() {
            return Ok(record);
        }
        app.record_refusal(record).await;
        Err(Problem::denied(access.decision.reason()))
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
