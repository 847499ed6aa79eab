//! `GET /v1/patients/{id}/presence`: who is there of a patient's circle.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use healthmate_care::Action;
use healthmate_protocol::server::PresenceResponse;
use healthmate_protocol::{Topic, UserId};

use super::Problem;
use super::caller::Caller;
use crate::app::App;
use crate::presence;

/// Who is connected of a patient's circle (the patient, the patient's devices, the care team), and who of them watches
/// the patient's topic. For those who may read the patient's measurements.
#[utoipa::path(
    get, path = "/v1/patients/{id}/presence", operation_id = "getPresence", tag = "measurements",
    params(("id" = String, Path, description = "The patient.")),
    responses(
        (status = 200, description = "Those who are there, by id.",
         body = ref("#/components/schemas/PresenceResponse"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are not in this patient's care team, or there is none."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn presence(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<PresenceResponse>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    let record = caller.must(&app, Action::ReadMeasurements, "presence", &patient).await?;
    let topic = Topic::health(patient);
    let present = presence::look_up(&app, &topic).await?;
    app.store.audit(vec![record]).await?;
    Ok(Json(PresenceResponse { topic, present }))
}

#[cfg(test)]
mod tests {
    use healthmate_protocol::{Interest, Topic};
    use serde_json::json;

    use crate::http::tests::{Failing, NOW, World, id};

    /// Everybody of the world is connected, and `nora` and `past` watch.
    async fn crowded() -> World {
        let world = World::new().await;
        let presence = &world.app.presence;
        for user in ["ada", "bob", "ring", "nora", "dora", "root", "gone", "past"] {
            presence.connected(&id(user), NOW.parse().expect("valid"));
        }
        for user in ["nora", "past"] {
            presence.subscribed(&id(user), &Topic::health(id("ada")), None, Interest::default());
        }
        world
    }

    #[tokio::test]
    async fn those_who_may_read_see_who_is_there() {
        let world = crowded().await;
        let entry = |user: &str, role: &str| json!({ "user_id": user, "role": role, "since": "2026-11-23T07:00:00.000000Z", "watching": user == "nora" });
        // Who is no longer in the care team, disabled, or an administrator, may not hear ada and is not of those around.
        let present = [entry("ada", "patient"), entry("nora", "nurse"), entry("ring", "device")];
        for user in ["ada", "ring", "nora"] {
            let reply = world.get("/v1/patients/ada/presence", Some(user)).await;
            assert_eq!(reply.json(), json!({ "topic": "health:ada", "present": present }), "{user}");
        }
        let reply = world.get("/v1/patients/bob/presence", Some("bob")).await;
        assert_eq!(reply.json()["present"], json!([entry("bob", "patient")]));
    }

    #[tokio::test]
    async fn others_are_denied() {
        let world = crowded().await;
        for user in ["bob", "dora", "root", "past"] {
            let reply = world.get("/v1/patients/ada/presence", Some(user)).await;
            assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"), "{user}");
        }
        let reply = world.get("/v1/patients/nobody/presence", Some("nora")).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "access_denied"));
        assert_eq!(world.get("/v1/patients/ada/presence", None).await.code(), "token_missing");
        let reply = world.get("/v1/patients/a%20b/presence", Some("ada")).await;
        assert_eq!((reply.status, reply.json()["field"].as_str()), (400, Some("id")));
    }

    #[tokio::test]
    async fn a_circle_that_cannot_be_read_is_no_empty_one() {
        let world = World::failing(Failing::Reading).await;
        let reply = world.get("/v1/patients/ada/presence", Some("ada")).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "storage_unavailable"));
    }
}
