//! Who sends a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use healthmate_care::{Action, User};
use healthmate_protocol::{ErrorCode, UserId};

use super::Problem;
use crate::app::App;
use crate::auth::{self, access};

/// The active user whose token the request carries in `Authorization: Bearer`.
#[derive(Debug)]
pub(super) struct Caller(pub(super) auth::Identity);

impl Caller {
    pub(super) fn user(&self) -> &User {
        &self.0.user
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

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(token) = auth::authorization(&parts.headers) else {
            return Err(Problem::new(ErrorCode::TokenMissing, ErrorCode::TokenMissing.remedy()));
        };
        Ok(Self(auth::authenticate(app, token).await?))
    }
}
