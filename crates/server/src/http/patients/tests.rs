use serde_json::json;

use crate::http::tests::World;

#[tokio::test]
async fn each_sees_the_patients_they_may_read() {
    let world = World::new().await;
    let ada = json!({ "patients": [{ "id": "ada", "name": "Ada Lovelace", "manages": true }] });
    let unmanaged = json!({ "patients": [{ "id": "ada", "name": "Ada Lovelace", "manages": false }] });
    let bob = json!({ "patients": [{ "id": "bob", "name": "Bob", "manages": true }] });
    let none = json!({ "patients": [] });
    for (user, expected) in [
        ("ada", &ada),
        ("ring", &unmanaged),
        ("nora", &unmanaged),
        ("bob", &bob),
        ("dora", &none),
        ("root", &none),
        ("past", &none),
    ] {
        let reply = world.get("/v1/patients", Some(user)).await;
        assert_eq!((reply.status, &reply.json()), (200, expected), "{user}");
    }
    assert_eq!(world.get("/v1/patients", None).await.code(), "token_missing");
}
