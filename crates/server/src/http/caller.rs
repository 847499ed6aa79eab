//! Who sends a request.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use healthmate_care::{Action, User};
use healthmate_protocol::{ErrorCode, UserId};

use super::Problem;
use crate::app::App;
use crate::auth::{self, access};
use crate::node::Reach;

/// The active user whose token the request carries in `Authorization: Bearer`.
#[derive(Debug)]
pub(super) struct Caller(pub(super) auth::Identity);

impl Caller {
    pub(super) fn user(&self) -> &User {
        &self.0.user
    }

    /// Whose connections the caller may see and steer.
    pub(super) fn reach(&self) -> Reach {
        Reach::of(self.user())
    }

    /// Goes on only if the caller may see and steer the connections of `user`.
    pub(super) fn must_reach(&self, user: &UserId) -> Result<(), Problem> {
        if self.reach().covers(Some(user)) {
            return Ok(());
        }
        let detail = "the connections of other users are for administrators";
        Err(Problem::new(ErrorCode::AccessDenied, detail))
    }

    /// Goes on only if the caller may do `action` with the data of `patient`. For a patient who does not exist the
    /// answer is the same as for somebody else's.
    pub(super) async fn must(&self, app: &App, action: Action, patient: &UserId) -> Result<(), Problem> {
        let decision = access::may(app, self.user(), action, patient).await?.decision;
        if decision.is_allowed() {
            Ok(())
        } else {
            Err(Problem::new(ErrorCode::AccessDenied, decision.message()))
        }
    }
}

/// Nobody, if the request carries no token. A token that is refused is refused here too.
impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Problem> {
        match auth::authorization(&parts.headers) {
            None => Ok(None),
            Some(token) => Ok(Some(Self(auth::authenticate(app, token).await?))),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(token) = auth::authorization(&parts.headers) else {
            return Err(Problem::new(ErrorCode::TokenMissing, ErrorCode::TokenMissing.remedy()));
        };
        Ok(Self(auth::authenticate(app, token).await?))
    }
}
