//! `DELETE /v1/patients/{id}`: erases a patient.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use healthmate_care::{AuditRecord, Role};
use healthmate_protocol::{ErrorCode, Timestamp, UserId};
use healthmate_storage::{AUDIT_KEPT, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::{Problem, json};
use crate::app::App;

/// That it is meant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseRequest {
    /// The patient's id, once more.
    confirm: String,
}

/// What was erased, and what was kept. Counts only.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErasureReport {
    /// Who was erased.
    patient: UserId,
    /// When.
    erased_at: Timestamp,
    /// Whether that had been done before.
    already: bool,
    /// How many rows went, by table.
    erased: BTreeMap<&'static str, u64>,
    /// What stays, by table.
    kept: BTreeMap<&'static str, Kept>,
}

/// What stays.
#[derive(Serialize, JsonSchema)]
pub(super) struct Kept {
    /// How many rows.
    rows: u64,
    /// Why.
    reason: &'static str,
}

/// Erases a patient and the patient's devices for good: data, keys, care team and credentials go, the audit trail stays.
/// For administrators. Their connections end within a second. Send it again if it breaks off.
#[utoipa::path(
    delete, path = "/v1/patients/{id}", operation_id = "erasePatient", tag = "users",
    params(("id" = String, Path, description = "The patient.")),
    request_body(content = ref("#/components/schemas/EraseRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The patient is erased.",
         body = ref("#/components/schemas/ErasureReport"), content_type = "application/json"),
        (status = 400, description = "`invalid_field` with its `field`: `confirm` must be the patient's id."),
        (status = 401, description = "`token_…` or `user_…`: the token is missing or refused."),
        (status = 403, description = "`access_denied`: you are no administrator."),
        (status = 404, description = "`not_found`: there is and was no such patient."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
    security(("token" = [])),
)]
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ErasureReport>, Problem> {
    let Path(id) = id.map_err(|_| Problem::field("id", "is not UTF-8"))?;
    let patient = UserId::new(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    if caller.user().role != Role::Admin {
        app.record_refusal(AuditRecord::erasure_denied(caller.by(&app), &patient)).await;
        return Err(Problem::new(ErrorCode::AccessDenied, "patients are erased by administrators"));
    }
    let request: EraseRequest = json::parse(&json::body(&app, &headers, body)?)?;
    if request.confirm != patient.as_str() {
        return Err(Problem::field("confirm", "must be the id of the patient, once more"));
    }
    let erased = app.store.erase(&patient, caller.by(&app)).await.map_err(|error| match error {
        Error::NotFound(_) => Problem::new(ErrorCode::NotFound, "there is no such patient"),
        error => error.into(),
    })?;
    let kept = Kept { rows: erased.audit_kept, reason: AUDIT_KEPT };
    Ok(Json(ErasureReport {
        patient,
        erased_at: erased.at,
        already: erased.before,
        erased: erased.rows.into_iter().collect(),
        kept: BTreeMap::from([("audit", kept)]),
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use healthmate_care::{AuditAction, AuditOutcome};

    use crate::http::tests::{Reply, World, id};

    async fn erase(world: &World, who: &str, patient: &str, confirm: &str) -> Reply {
        let request = Request::delete(format!("/v1/patients/{patient}"))
            .header("authorization", format!("Bearer {}", world.token(who)))
            .header("content-type", "application/json")
            .body(Body::from(format!(r#"{{"confirm":"{confirm}"}}"#)));
        world.send(request.expect("valid")).await
    }

    #[tokio::test]
    async fn an_administrator_erases_a_patient_who_is_meant() {
        let world = World::new().await;
        for who in ["ada", "nora", "dora", "ring"] {
            let reply = erase(&world, who, "ada", "ada").await;
            assert_eq!((reply.status, reply.code()), (403, "access_denied".to_owned()), "{who}");
        }
        let trail = world.app.store.audit_after(0, 1000).await.expect("read");
        let refused = trail.iter().map(|entry| &entry.record);
        let refused: Vec<_> = refused.filter(|record| record.action == AuditAction::Erased).collect();
        let who: Vec<_> = refused.iter().filter_map(|record| record.by.actor.user()).collect();
        assert_eq!(who, ["ada", "nora", "dora", "ring"].map(id).iter().collect::<Vec<_>>());
        assert!(refused.iter().all(|record| {
            let what = (record.outcome, record.patient.as_ref(), record.reason.as_deref());
            what == (AuditOutcome::Denied, Some(&id("ada")), Some("not_administrator"))
        }));
        let reply = erase(&world, "root", "ada", "bob").await;
        assert_eq!((reply.status, reply.code()), (400, "invalid_field".to_owned()));
        for nobody in ["nobody", "nora"] {
            let reply = erase(&world, "root", nobody, nobody).await;
            assert_eq!((reply.status, reply.code()), (404, "not_found".to_owned()));
        }
        let reply = erase(&world, "root", "ada", "ada").await;
        let report = reply.json();
        assert_eq!(
            (reply.status, &report["already"], &report["erased"]["user"]),
            (200, &false.into(), &2.into())
        );
        assert!(report["kept"]["audit"]["reason"].as_str().is_some_and(|reason| reason.contains("45 CFR")));
        assert_eq!(world.get("/v1/me", Some("ada")).await.status, 401);
        assert_eq!(erase(&world, "root", "ada", "ada").await.json()["already"], true);
    }
}
