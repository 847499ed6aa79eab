//! `GET /demo/sign-ins`: the demo's users, with their tokens.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use healthmate_protocol::{ErrorCode, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::Problem;
use crate::app::App;

/// What the ids of the demo's users begin with. Tokens are given for these only, so that a demo that is started on
/// a real database by mistake gives nobody away.
pub const DEMO_PREFIX: &str = "demo-";

/// How long a demo token is good, in seconds: a day.
const TTL_S: u32 = 24 * 60 * 60;

/// The demo's users.
#[derive(Serialize, JsonSchema)]
pub(super) struct SignIns {
    sign_ins: Vec<SignIn>,
}

/// One of them.
#[derive(Serialize, JsonSchema)]
pub(super) struct SignIn {
    /// The user.
    user: UserId,
    /// What people call the user.
    name: String,
    /// `patient`, `caregiver`, `nurse`, `doctor`, `admin` or `device`.
    role: &'static str,
    /// A token, good for a day.
    token: String,
}

/// The demo's users, with a token for each. Only with `--demo`, and only under a name of the machine itself.
#[utoipa::path(
    get, path = "/demo/sign-ins", operation_id = "listDemoSignIns", tag = "demo",
    responses(
        (status = 200, description = "The users of the demo.", body = ref("#/components/schemas/SignIns"),
         content_type = "application/json"),
        (status = 404, description = "`not_found`: this server is no demo."),
        (status = 503, description = "`storage_unavailable`: send it again after `Retry-After`."),
    ),
)]
pub(super) async fn sign_ins(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<SignIns>, Problem> {
    if !app.settings.demo || !is_local(&headers) {
        return Err(Problem::new(ErrorCode::NotFound, "this server is no demo"));
    }
    let now = app.clock.now();
    let users = app.store.users().await?.into_iter();
    let sign_ins =
        users.filter(|user| user.active && user.id.as_str().starts_with(DEMO_PREFIX)).map(|user| SignIn {
            token: app.verifier.issue(&user.id, TTL_S, now),
            role: user.role.as_str(),
            user: user.id,
            name: user.name,
        });
    Ok(Json(SignIns { sign_ins: sign_ins.collect() }))
}

/// Whether the request names the machine itself. A page elsewhere whose name was made to point here (DNS rebinding)
/// still sends its own name.
fn is_local(headers: &HeaderMap) -> bool {
    let host =
        headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use crate::http::tests::World;

    #[tokio::test]
    async fn a_demo_gives_working_tokens_of_its_own_users_only() {
        let world = World::demo().await;
        let reply = world.get("/demo/sign-ins", None).await;
        assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"));
        let sign_ins = reply.json()["sign_ins"].as_array().expect("a list").clone();
        assert_eq!(sign_ins.len(), 1, "{sign_ins:?}");
        assert_eq!(sign_ins[0]["user"], "demo-nurse");
        world.clock.advance_millis(23 * 3_600_000);
        let me = world.get_with_token("/v1/me", sign_ins[0]["token"].as_str().expect("text")).await;
        assert_eq!(me.json()["name"], "Dana Demo");
    }

    #[tokio::test]
    async fn a_page_whose_name_was_made_to_point_here_gets_none() {
        let world = World::demo().await;
        for (host, status) in [
            ("localhost:8080", 200),
            ("127.0.0.1:8080", 200),
            ("[::1]:8080", 200),
            ("evil.example:8080", 404),
            ("127.0.0.1.evil.example", 404),
            ("192.0.2.1", 404),
        ] {
            let reply = world.get_from_host("/demo/sign-ins", host).await;
            assert_eq!(reply.status, status, "{host}");
        }
    }

    #[tokio::test]
    async fn what_is_no_demo_has_no_sign_ins() {
        let reply = World::new().await.get("/demo/sign-ins", None).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
    }
}
