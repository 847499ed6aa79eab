//! What holds for every route, and a world to test routes in.

use axum::body::Body;
use axum::http::Request;
use healthmate_protocol::ErrorCode;

mod failing;
pub(crate) mod markers;
pub(crate) mod world;

pub(crate) use failing::Failing;
pub(crate) use world::{NOW, Reply, World, id};

#[tokio::test]
async fn an_unknown_route_or_method_of_the_api_is_a_problem() {
    let world = World::new().await;
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/patients/", "/ws/health", "/demo/x", "/problems"] {
        let reply = world.get(path, None).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
    for (method, path) in
        [("DELETE", "/v1/measurements"), ("GET", "/v1/measurements"), ("POST", "/v1/me"), ("POST", "/")]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("valid");
        let reply = world.send(request).await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "method_not_allowed"), "{method} {path}");
        assert!(!reply.header("allow").is_empty(), "{method} {path}");
    }
    insta::assert_snapshot!(world.get("/v1/nothing", None).await.body, @r#"{"type":"/problems/not_found","title":"There is no such thing here.","status":404,"detail":"Check the address.","code":"not_found","retry":false}"#);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let world = World::new().await;
    for path in ["/", "/v1/me", "/v1/nothing", "/healthz", "/metrics", "/openapi.json", "/no.file"] {
        let reply = world.get(path, None).await;
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let private = reply.header("cache-control") == "no-store";
        assert!(private || !path.starts_with("/v1"), "{path}");
    }
}

#[tokio::test]
async fn the_type_of_every_problem_can_be_looked_up() {
    let world = World::new().await;
    for code in ErrorCode::ALL {
        let reply = world.get(&format!("/problems/{}", code.as_str()), None).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.contains(code.remedy()), "{}", reply.body);
    }
    assert_eq!(world.get("/problems/unheard_of", None).await.code(), "not_found");
}

#[tokio::test]
async fn a_store_that_fails_is_503_with_the_time_to_come_back() {
    for (failing, code) in [(Failing::Full, "storage_full"), (Failing::Unavailable, "storage_unavailable")] {
        let world = World::failing(failing).await;
        let body = r#"{"metric":"heart_rate","value":72,"unit":"/min","taken_at":"2026-11-23T07:00:00Z"}"#;
        let reply = world.post("ada", &[], body).await;
        assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (503, code, "1"));
        assert!(!reply.body.contains("/secret/path"), "{}", reply.body);
    }
}
