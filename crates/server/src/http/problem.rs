//! Problem details (RFC 9457): how every refusal looks.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::extract::Path;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use healthmate_care::{Reason, Refusal};
use healthmate_protocol::ErrorCode;
use healthmate_storage as storage;
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::TokenError;
use crate::node::Unanswered;

/// The `Content-Type` of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// How long to wait before a request is sent again that can succeed then, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Why a request was refused.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Problem {
    /// `/problems/` and the code: what it means and what to do stands there.
    r#type: String,
    /// What kind of problem this is, always the same for its code.
    title: Cow<'static, str>,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, for people.
    detail: String,
    /// The stable word for programs.
    code: ErrorCode,
    /// The field, parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Why access is denied, as a stable word such as `ended`; docs/access.md lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Whether the same request can succeed later.
    retry: bool,
    /// How long to wait before that, in seconds.
    #[serde(skip)]
    retry_after_s: u32,
}

/// The detail may repeat what the client sent: `Debug` leaves it out.
impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({} {})", self.status, self.code.as_str())
    }
}

impl Problem {
    /// A problem of this kind; `detail` is for people.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("/problems/{}", code.as_str()),
            title: Cow::Borrowed(code.meaning()),
            status: status_of(code).as_u16(),
            detail: detail.into(),
            code,
            field: None,
            reason: None,
            retry: code.retry(),
            retry_after_s: RETRY_AFTER_S,
        }
    }

    /// The stable word.
    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    /// A field that is missing, of the wrong kind or past its limit.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidField, detail).at(field)
    }

    /// The policy said no, because of `reason`.
    pub fn denied(reason: Reason) -> Self {
        Self { reason: Some(reason.as_str()), ..Self::new(ErrorCode::AccessDenied, reason.message()) }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same with a status that says it better than the code's own.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// The same, to be tried again after this long, in whole seconds rounded up.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_s = u32::try_from(seconds).unwrap_or(u32::MAX);
        self
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The body.
    pub(super) fn to_json(&self) -> String {
        // Only maps with non-text keys fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the measurement at `path` (empty, or `batch[2].`) was refused for.
    pub(super) fn refused(path: &str, refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message).at(format!("{path}{}", refusal.field))
    }
}

fn status_of(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::MalformedJson | E::UnknownType | E::InvalidField => StatusCode::BAD_REQUEST,
        E::UnknownMetric
        | E::UnknownUnit
        | E::ImplausibleValue
        | E::TimeInFuture
        | E::UnknownWaveform
        | E::IdempotencyConflict => StatusCode::UNPROCESSABLE_ENTITY,
        E::AccessDenied | E::SignInTooOld => StatusCode::FORBIDDEN,
        E::NotFound | E::TopicNotServed => StatusCode::NOT_FOUND,
        E::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        E::AlreadyAuthenticated | E::NotSubscribed | E::NotAcknowledged => StatusCode::CONFLICT,
        E::TooManyTopics | E::TooManyRequests | E::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
        E::StorageUnavailable | E::StorageFull | E::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        E::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        E::NotAuthenticated
        | E::TokenMissing
        | E::TokenMalformed
        | E::TokenTooLarge
        | E::TokenAlgorithm
        | E::TokenSignature
        | E::TokenExpired
        | E::TokenNotYetValid
        | E::TokenIssuer
        | E::TokenAudience
        | E::TokenRevoked
        | E::SignInRefused
        | E::TokenKey
        | E::TokenUser
        | E::TokenRole
        | E::UserUnknown
        | E::UserInactive => StatusCode::UNAUTHORIZED,
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = error.code();
        Self::new(code, code.remedy())
    }
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Self {
        Self::new(ErrorCode::Internal, error.to_string()).with_status(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Storage's own words may name files and addresses: they go to the log, and the client learns the kind.
impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        let code = match &error {
            storage::Error::Unavailable(_) => ErrorCode::StorageUnavailable,
            storage::Error::Full => ErrorCode::StorageFull,
            storage::Error::IdempotencyConflict => {
                return Self::new(ErrorCode::IdempotencyConflict, error.to_string()).at("Idempotency-Key");
            }
            storage::Error::NotFound(_) => return Self::new(ErrorCode::NotFound, error.to_string()),
            storage::Error::TooMany(..) => return Self::new(ErrorCode::TooManyRequests, error.to_string()),
            storage::Error::RoleStays(_) => return Self::field("role", error.to_string()),
            // Whoever asked for it knows what to say.
            storage::Error::Exists(_) | storage::Error::Changed(_) => ErrorCode::Internal,
        };
        tracing::error!(%error, code = code.as_str(), "a request failed in storage");
        Self::new(code, code.remedy())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let content_type = [(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
        let body = self.to_json();
        let mut response = (status, content_type, body).into_response();
        // For the metrics: see `observe`.
        response.extensions_mut().insert(self.code);
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        if status == StatusCode::UNAUTHORIZED {
            let missing = self.code == ErrorCode::TokenMissing;
            let challenge = if missing { "Bearer" } else { r#"Bearer error="invalid_token""# };
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// A route that has no such method.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(ErrorCode::MethodNotAllowed, ErrorCode::MethodNotAllowed.remedy())
}

/// What a problem's `type` means, and what to do about it.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "explainProblem", tag = "operation",
    params(("code" = String, Path, description = "The `code` of a problem.")),
    responses(
        (status = 200, description = "Two sentences: what happened, and what to do.", body = String,
         content_type = "text/plain"),
        (status = 404, description = "`not_found`: there is no such code."),
    ),
)]
pub(super) async fn explain(Path(word): Path<String>) -> Result<String, Problem> {
    let code = ErrorCode::ALL.iter().find(|code| code.as_str() == word);
    let code = code.ok_or_else(|| Problem::new(ErrorCode::NotFound, "no problem has this code"))?;
    Ok(format!("{}: {} {}\n", code.as_str(), code.meaning(), code.remedy()))
}
