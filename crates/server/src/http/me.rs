//! `GET /v1/me`: who the caller is.

use axum::Json;
use healthmate_protocol::{Timestamp, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use super::caller::Caller;

/// The caller.
#[derive(Serialize, JsonSchema)]
pub(super) struct Me {
    /// The user.
    id: UserId,
    /// `patient`, `caregiver`, `nurse`, `doctor`, `admin` or `device`.
    role: &'static str,
    /// What people call the user.
    name: String,
    /// The patient whose measurements this user writes: a patient's own id, or a device's patient.
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<UserId>,
    /// When the token ends.
    expires_at: Timestamp,
}

/// Who you are, by your token.
#[utoipa::path(
    get, path = "/v1/me", operation_id = "getMe", tag = "users",
    responses(
        (status = 200, description = "You.", body = ref("#/components/schemas/Me"), content_type = "application/json"),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn me(caller: Caller) -> Result<Json<Me>, Problem> {
    let user = caller.user();
    Ok(Json(Me {
        patient: user.own_patient().cloned(),
        id: user.id.clone(),
        role: user.role.as_str(),
        name: user.name.clone(),
        expires_at: caller.expires_at(),
    }))
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::ErrorCode;

    use crate::http::tests::World;

    #[tokio::test]
    async fn everyone_learns_who_they_are() {
        let world = World::new().await;
        let reply = world.get("/v1/me", Some("ring")).await;
        insta::assert_snapshot!(reply.body, @r#"{"id":"ring","role":"device","name":"Ada's ring","patient":"ada","expires_at":"2026-11-23T08:00:00.000000Z"}"#);
        insta::assert_snapshot!(world.get("/v1/me", Some("nora")).await.body, @r#"{"id":"nora","role":"nurse","name":"Nora","expires_at":"2026-11-23T08:00:00.000000Z"}"#);
    }

    #[tokio::test]
    async fn a_token_is_refused_by_what_is_wrong_with_it() {
        let world = World::new().await;
        let missing = world.get("/v1/me", None).await;
        assert_eq!((missing.status, missing.header("www-authenticate")), (401, "Bearer"));
        insta::assert_snapshot!(missing.body, @r#"{"type":"/problems/token_missing","title":"The request carries no token.","status":401,"detail":"Send `Authorization: Bearer …`.","code":"token_missing","retry":false}"#);
        let world = &world;
        let refused = |token: String| async move {
            let reply = world.get_with_token("/v1/me", &token).await;
            assert_eq!(
                (reply.status, reply.header("www-authenticate")),
                (401, r#"Bearer error="invalid_token""#)
            );
            assert_eq!(reply.header("content-type"), "application/problem+json");
            reply.code()
        };
        assert_eq!(refused("nonsense".to_owned()).await, ErrorCode::TokenMalformed.as_str());
        assert_eq!(refused("x".repeat(9000)).await, ErrorCode::TokenTooLarge.as_str());
        assert_eq!(refused(world.token("nobody")).await, ErrorCode::UserUnknown.as_str());
        assert_eq!(refused(world.token("gone")).await, ErrorCode::UserInactive.as_str());
        let token = world.token("nora");
        world.clock.advance_millis(3_600_000 + 5_000);
        assert_eq!(refused(token).await, ErrorCode::TokenExpired.as_str());
    }
}
