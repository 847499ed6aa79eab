//! Changing a password, and what it is checked for.

use super::*;

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_other_sign_ins() {
    let world = world().await;
    let ((phone, _), (laptop, _)) = (login(&world, "nora").await, login(&world, "nora").await);
    let change = async |old: &str, new: &str| {
        post(&world, "/v1/auth/password", Some(&phone), json!({ "old_password": old, "new_password": new }))
            .await
    };
    for weak in ["short77", "password123", "nora", "NoRa is my name", &"x1".repeat(65)] {
        let reply = change(PASSWORD, weak).await;
        assert_eq!(
            (reply.code().as_str(), &reply.json()["field"]),
            ("invalid_field", &json!("new_password")),
            "{weak}"
        );
    }
    assert_eq!(change("wrong", "another good one").await.code(), "sign_in_refused");
    assert_eq!(change(PASSWORD, "another good one").await.status, 204);
    assert_eq!((me(&world, &phone).await, me(&world, &laptop).await), (200, 401));
    assert_eq!(try_login(&world, "nora", PASSWORD).await.code(), "sign_in_refused");
    assert_eq!(try_login(&world, "nora", "another good one").await.status, 200);
}

/// After a change of what hashing costs, whoever signs in has a hash of the new kind: the answer to nobody takes longer.
#[tokio::test]
async fn an_old_hash_is_renewed_at_the_next_sign_in() {
    let world = world().await;
    let dear = crate::auth::password::Passwords::new(&Settings::default().sign_in, world.app.clock.clone());
    let old = dear.hash(PASSWORD.to_owned()).await.expect("hashed");
    let at = NOW.parse().expect("valid");
    let end = SignInEnd { user: id("nora"), which: SignIns::All, reason: "test", access_until: at };
    world
        .app
        .store
        .set_password(NewPassword::anyway(old.clone()), end, By::command_line(at))
        .await
        .expect("known");
    assert!(!world.app.passwords.is_current(&old));
    login(&world, "nora").await;
    let renewed = world.app.store.password(&id("nora")).await.expect("read").expect("one");
    assert!(world.app.passwords.is_current(&renewed));
    assert_eq!(login(&world, "nora").await.0.split('.').count(), 3);
}

/// A password that was changed while it was checked opens nothing any more.
#[tokio::test]
async fn a_password_that_is_changed_meanwhile_signs_nobody_in() {
    let world = world().await;
    let other = world.app.passwords.hash("another password".to_owned()).await.expect("hashed");
    let held = world.app.passwords.hold().await;
    let mut waiting = Box::pin(try_login(&world, "nora", PASSWORD));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "its hash was read");
    let at = NOW.parse().expect("valid");
    let end = SignInEnd { user: id("nora"), which: SignIns::All, reason: "test", access_until: at };
    world
        .app
        .store
        .set_password(NewPassword::anyway(other.clone()), end, By::command_line(at))
        .await
        .expect("known");
    drop(held);
    assert_eq!(waiting.await.code(), "sign_in_refused");
    assert_eq!(world.app.store.password(&id("nora")).await, Ok(Some(other)), "and the new one stays");
    let last = world.app.store.audit_after(0, 1000).await.expect("read").pop().expect("records").record;
    assert_eq!((last.outcome, last.reason.as_deref()), (AuditOutcome::Denied, Some("wrong_password")));
    assert_eq!(world.app.store.sign_ins(&id("nora")).await, Ok(Vec::new()));
}

/// A new password does not overwrite one that was set while the old one was checked.
#[tokio::test]
async fn a_password_that_is_changed_meanwhile_is_not_changed_back() {
    let world = world().await;
    let (token, _) = login(&world, "nora").await;
    let other = world.app.passwords.hash("another password".to_owned()).await.expect("hashed");
    let held = world.app.passwords.hold().await;
    let body = json!({ "old_password": PASSWORD, "new_password": "quite another one" });
    let mut waiting = Box::pin(post(&world, "/v1/auth/password", Some(&token), body));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "its hash was read");
    let at = NOW.parse().expect("valid");
    let end =
        SignInEnd { user: id("nora"), which: SignIns::One(Uuid::nil()), reason: "test", access_until: at };
    let new = NewPassword::anyway(other.clone());
    world.app.store.set_password(new, end, By::command_line(at)).await.expect("known");
    drop(held);
    let refused = waiting.await;
    assert_eq!(
        (refused.code().as_str(), &refused.json()["field"]),
        ("sign_in_refused", &json!("old_password"))
    );
    assert_eq!(world.app.store.password(&id("nora")).await, Ok(Some(other)));
    assert_eq!(me(&world, &token).await, 200, "and no sign-in ended");
}

/// Two who sign in at once with a password of an old hash: both are let in, whichever of them renews it.
#[tokio::test]
async fn an_old_hash_is_renewed_by_one_of_two_and_both_are_let_in() {
    let world = world().await;
    let dear = crate::auth::password::Passwords::new(&Settings::default().sign_in, world.app.clock.clone());
    let old = dear.hash(PASSWORD.to_owned()).await.expect("hashed");
    let at = NOW.parse().expect("valid");
    let end = SignInEnd { user: id("nora"), which: SignIns::All, reason: "test", access_until: at };
    let new = NewPassword::anyway(old.clone());
    world.app.store.set_password(new, end, By::command_line(at)).await.expect("known");
    let held = world.app.passwords.hold().await;
    let mut one = Box::pin(try_login(&world, "nora", PASSWORD));
    let mut other = Box::pin(try_login(&world, "nora", PASSWORD));
    assert!(futures_util::poll!(&mut one).is_pending() && futures_util::poll!(&mut other).is_pending());
    drop(held);
    let (one, other) = tokio::join!(one, other);
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(world.app.metrics.sign_ins.of(SignInResult::Refused).get(), 0);
}

/// Wherever the password is asked for again, a wrong one is as much a wrong attempt as one at the door: counted and on record. One
/// that was not looked at is none.
#[tokio::test]
async fn guessing_the_password_is_on_record_and_a_busy_server_counts_against_nobody() {
    for (path, field, good) in
        [("/v1/auth/password", "old_password", 204), ("/v1/auth/passkeys/options", "password", 200)]
    {
        let mut settings = settings();
        settings.auth.passkeys.rp_id = Some("localhost".to_owned());
        let world = World::with(settings).await;
        set_password(&world, "nora", PASSWORD).await;
        let (token, _) = login(&world, "nora").await;
        let ask = async |password: &str| {
            let mut body = json!({ field: password });
            if good == 204 {
                body["new_password"] = json!("quite another one");
            }
            post(&world, path, Some(&token), body).await
        };
        let refused = ask("a guess").await;
        assert_eq!((refused.code(), &refused.json()["field"]), ("sign_in_refused".to_owned(), &json!(field)));
        let trail = world.app.store.audit_after(0, 1000).await.expect("read");
        let last = &trail.last().expect("records").record;
        assert_eq!((last.outcome, last.reason.as_deref()), (AuditOutcome::Denied, Some("wrong_password")));
        assert_eq!(last.by.actor.user(), Some(&id("nora")));
        assert_eq!(world.app.metrics.sign_ins.of(SignInResult::Refused).get(), 1);
        for bad in ["", &"x".repeat(129)] {
            let refused = ask(bad).await;
            assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)));
        }
        let held = world.app.passwords.hold().await;
        let mut waiting: Vec<_> =
            (0..64).map(|_| Box::pin(world.app.passwords.verify("x".to_owned(), None))).collect();
        for asked in &mut waiting {
            let _ = futures_util::poll!(asked);
        }
        for _ in 0..20 {
            assert_eq!(ask(PASSWORD).await.code(), "too_many_requests");
        }
        drop((held, waiting));
        assert_eq!(ask(PASSWORD).await.status, good, "and none of it made anybody wait");
    }
}
