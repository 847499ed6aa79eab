//! Sign-ins and their refresh tokens.

use healthmate_care::{AuditOutcome, By, Clock, SignInMethod};
use healthmate_protocol::Timestamp;
use uuid::Uuid;

use super::sample::{by, id, people};
use super::{Failed, Harness, Outcome};
use crate::{
    Error, NewPassword, NewSignIn, Revocation, Revoked, Rotated, Rotation, SignIn, SignInEnd, SignIns,
};

/// How long a sign-in of these checks lasts, and how long one may be idle, in milliseconds.
const LASTS: i64 = 100_000;
const IDLE: i64 = 10_000;
const GRACE: i64 = 1_000;

fn sign_in(harness: &Harness, user: &str) -> Result<NewSignIn, Failed> {
    let now = harness.clock.now();
    let sign_in = SignIn {
        id: harness.clock.uuid(),
        user: id(user)?,
        method: SignInMethod::Password,
        label: Some("Ana's phone".to_owned()),
        address: Some("2001:db8::7".parse()?),
        created_at: now,
        last_used_at: now,
        expires_at: now.plus_millis(LASTS),
    };
    Ok(NewSignIn { sign_in, verified: None, family: [7; 32], current: [1; 32] })
}

fn now(harness: &Harness) -> By {
    By::anonymous(None, harness.clock.now())
}

async fn rotate(harness: &Harness, sign_in: Uuid, presented: u8, next: u8) -> Result<Rotated, Failed> {
    let now = harness.clock.now();
    let rotation = Rotation {
        sign_in,
        family: [7; 32],
        presented: [presented; 32],
        next: [next; 32],
        grace_since: now.plus_millis(-GRACE),
        idle_since: now.plus_millis(-IDLE),
        access_until: now.plus_millis(900),
    };
    Ok(harness.store()?.rotate(rotation, By::anonymous(None, now)).await?)
}

async fn begin(harness: &Harness, user: &str) -> Result<SignIn, Failed> {
    let new = sign_in(harness, user)?;
    harness.store()?.add_sign_in(new.clone(), now(harness)).await?;
    Ok(new.sign_in)
}

fn end(user: &str, which: SignIns, until: Timestamp) -> Result<SignInEnd, Failed> {
    Ok(SignInEnd { user: id(user)?, which, reason: "logout", access_until: until })
}

/// `add_sign_in`, then `sign_ins`, the newest first.
pub async fn a_sign_in_is_found_as_it_was_added(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let first = begin(&harness, "p").await?;
    harness.clock.advance_millis(1);
    let plain = sign_in(&harness, "p")?;
    let plain = SignIn { label: None, address: None, method: SignInMethod::Passkey, ..plain.sign_in };
    let second = NewSignIn { sign_in: plain.clone(), verified: None, family: [0; 32], current: [0; 32] };
    harness.store()?.add_sign_in(second.clone(), by()).await?;
    harness.reopen()?;
    let store = harness.store()?;
    assert_eq!(store.sign_ins(&id("p")?).await?, [plain, first]);
    assert!(store.sign_ins(&id("q")?).await?.is_empty());
    assert_eq!(store.add_sign_in(second, by()).await, Err(Error::Exists("sign-in")));
    let stranger = store.add_sign_in(sign_in(&harness, "nobody")?, by()).await;
    assert_eq!(stranger, Err(Error::NotFound("user")));
    Ok(())
}

/// Each refresh token is good once, for the next one.
pub async fn a_refresh_token_is_exchanged_for_the_next(harness: Harness) -> Outcome {
    people(&harness).await?;
    let began = begin(&harness, "p").await?;
    let version = harness.store()?.directory_version().await?;
    for generation in 1..5 {
        harness.clock.advance_millis(GRACE + 1);
        let renewed = SignIn { last_used_at: harness.clock.now(), ..began.clone() };
        assert_eq!(
            rotate(&harness, began.id, generation, generation + 1).await?,
            Rotated::Renewed(renewed.clone())
        );
        assert_eq!(harness.store()?.sign_ins(&id("p")?).await?, [renewed]);
    }
    assert_eq!(harness.store()?.directory_version().await?, version, "nobody must decide again");
    Ok(())
}

/// Who comes with an exchanged token ends the sign-in, for both who have it; it is recorded.
pub async fn a_refresh_token_used_twice_ends_its_sign_in(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (began, other) = (begin(&harness, "p").await?, begin(&harness, "p").await?);
    harness.clock.advance_millis(GRACE + 1);
    assert!(matches!(rotate(&harness, began.id, 1, 2).await?, Rotated::Renewed(_)));
    harness.clock.advance_millis(GRACE + 1);
    let version = harness.store()?.directory_version().await?;
    assert_eq!(rotate(&harness, began.id, 1, 3).await?, Rotated::Reused(id("p")?));
    assert!(harness.store()?.directory_version().await? > version, "open connections must hear of it");
    let until = harness.clock.now().plus_millis(900);
    assert_eq!(rotate(&harness, began.id, 2, 4).await?, Rotated::Ended, "the thief, or the owner");
    let store = harness.store()?;
    let what = Revoked::SignIn(began.id.to_string());
    assert_eq!(store.revocations(harness.clock.now()).await?, [Revocation { what, until }]);
    assert_eq!(store.sign_ins(&id("p")?).await?, [other], "the other one goes on");
    let last = store.audit_after(0, 1000).await?.pop().ok_or("a record")?.record;
    let object = format!("user:p/sign_in:{}", began.id);
    assert_eq!((last.action.as_str(), last.object), ("credential_revoked", Some(object)));
    assert_eq!((last.reason.as_deref(), last.outcome), (Some("refresh_token_reused"), AuditOutcome::Success));
    Ok(())
}

/// A client whose answer was lost comes again with the same token, for a short while and until the next one is used.
pub async fn a_lost_answer_locks_nobody_out(harness: Harness) -> Outcome {
    people(&harness).await?;
    let began = begin(&harness, "p").await?;
    assert!(matches!(rotate(&harness, began.id, 1, 2).await?, Rotated::Renewed(_)));
    harness.clock.advance_millis(GRACE);
    assert!(matches!(rotate(&harness, began.id, 1, 3).await?, Rotated::Renewed(_)), "within its grace");
    // What was lost is good no more: if it was not lost but stolen, that comes out.
    assert!(matches!(rotate(&harness, began.id, 3, 4).await?, Rotated::Renewed(_)));
    assert_eq!(rotate(&harness, began.id, 2, 5).await?, Rotated::Reused(id("p")?));
    // The grace is counted from the first exchange.
    let late = begin(&harness, "p").await?;
    assert!(matches!(rotate(&harness, late.id, 1, 2).await?, Rotated::Renewed(_)));
    harness.clock.advance_millis(GRACE);
    assert!(matches!(rotate(&harness, late.id, 1, 3).await?, Rotated::Renewed(_)));
    harness.clock.advance_millis(1);
    assert_eq!(rotate(&harness, late.id, 1, 4).await?, Rotated::Reused(id("p")?));
    // The token before the one before has no grace.
    let third = begin(&harness, "p").await?;
    assert!(matches!(rotate(&harness, third.id, 1, 2).await?, Rotated::Renewed(_)));
    assert!(matches!(rotate(&harness, third.id, 2, 3).await?, Rotated::Renewed(_)));
    assert_eq!(rotate(&harness, third.id, 1, 4).await?, Rotated::Reused(id("p")?));
    Ok(())
}

/// Nothing is used up meanwhile, and what was exchanged before ends the sign-in as ever.
pub async fn a_refresh_token_of_a_disabled_user_is_not_exchanged(harness: Harness) -> Outcome {
    people(&harness).await?;
    let began = begin(&harness, "p").await?;
    assert!(matches!(rotate(&harness, began.id, 1, 2).await?, Rotated::Renewed(_)));
    harness.store()?.set_active(&id("p")?, false, by()).await?;
    for (presented, next) in [(2, 3), (2, 4), (1, 5)] {
        let rotated = rotate(&harness, began.id, presented, next).await?;
        assert_eq!(rotated, Rotated::Inactive(id("p")?), "{presented}");
    }
    harness.store()?.set_active(&id("p")?, true, by()).await?;
    assert!(matches!(rotate(&harness, began.id, 2, 6).await?, Rotated::Renewed(_)), "as before");
    harness.store()?.set_active(&id("p")?, false, by()).await?;
    assert_eq!(rotate(&harness, began.id, 1, 7).await?, Rotated::Reused(id("p")?));
    assert_eq!(rotate(&harness, began.id, 6, 8).await?, Rotated::Ended);
    Ok(())
}

/// Who knows the name of a sign-in, and never had one of its tokens, cannot end it.
pub async fn a_made_up_refresh_token_ends_nothing(harness: Harness) -> Outcome {
    people(&harness).await?;
    let began = begin(&harness, "p").await?;
    assert_eq!(rotate(&harness, Uuid::nil(), 1, 2).await?, Rotated::Unknown);
    let made_up = Rotation {
        sign_in: began.id,
        family: [8; 32],
        presented: [1; 32],
        next: [2; 32],
        grace_since: harness.clock.now(),
        idle_since: harness.clock.now(),
        access_until: harness.clock.now(),
    };
    assert_eq!(harness.store()?.rotate(made_up, now(&harness)).await?, Rotated::Unknown);
    assert!(matches!(rotate(&harness, began.id, 1, 2).await?, Rotated::Renewed(_)));
    Ok(())
}

/// At its end, and after too long without use.
pub async fn a_sign_in_ends_by_itself(harness: Harness) -> Outcome {
    people(&harness).await?;
    let idle = begin(&harness, "p").await?;
    harness.clock.advance_millis(IDLE);
    assert!(matches!(rotate(&harness, idle.id, 1, 2).await?, Rotated::Renewed(_)), "at the limit");
    harness.clock.advance_millis(IDLE + 1);
    assert_eq!(rotate(&harness, idle.id, 2, 3).await?, Rotated::Expired);
    let busy = begin(&harness, "p").await?;
    let last = (LASTS / IDLE) as u8;
    for generation in 1..last {
        harness.clock.advance_millis(IDLE);
        assert!(matches!(rotate(&harness, busy.id, generation, generation + 1).await?, Rotated::Renewed(_)));
    }
    harness.clock.advance_millis(IDLE);
    assert_eq!(
        rotate(&harness, busy.id, last, last + 1).await?,
        Rotated::Expired,
        "however often it is used"
    );
    let forgotten = harness.store()?.forget_ended(harness.clock.now(), 1).await?;
    assert_eq!((forgotten, harness.store()?.sign_ins(&id("p")?).await?.len()), (1, 1), "the older one first");
    assert_eq!(harness.store()?.forget_ended(harness.clock.now(), 9).await?, 1);
    assert_eq!(rotate(&harness, busy.id, last, last + 1).await?, Rotated::Unknown);
    Ok(())
}

/// `end_sign_ins`: one, all but one, all; only the user's own, and each once.
pub async fn sign_ins_are_ended(harness: Harness) -> Outcome {
    people(&harness).await?;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(begin(&harness, "p").await?.id);
        harness.clock.advance_millis(1);
    }
    let foreign = begin(&harness, "q").await?;
    let store = harness.store()?;
    let until = harness.clock.now().plus_millis(900);
    let version = store.directory_version().await?;
    assert!(store.end_sign_ins(end("q", SignIns::One(ids[0]), until)?, by()).await?.is_empty(), "not q's");
    assert_eq!(store.directory_version().await?, version);
    assert_eq!(store.end_sign_ins(end("p", SignIns::One(ids[0]), until)?, by()).await?, [ids[0]]);
    assert!(store.directory_version().await? > version);
    assert!(store.end_sign_ins(end("p", SignIns::One(ids[0]), until)?, by()).await?.is_empty(), "only once");
    assert_eq!(store.end_sign_ins(end("p", SignIns::AllBut(ids[1]), until)?, by()).await?, ids[2..]);
    assert_eq!(store.end_sign_ins(end("p", SignIns::All, until)?, by()).await?, [ids[1]]);
    assert_eq!(store.sign_ins(&id("q")?).await?, [foreign]);
    assert_eq!(store.revocations(harness.clock.now()).await?.len(), 4);
    Ok(())
}

/// Whatever their names: so they are given back, and so they are on record, before the password that ended them.
pub async fn sign_ins_end_in_the_order_in_which_they_began(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (store, names) = (harness.store()?, [9, 2, 5].map(Uuid::from_u128));
    for name in names {
        let new = sign_in(&harness, "p")?;
        let sign_in = SignIn { id: name, ..new.sign_in };
        store.add_sign_in(NewSignIn { sign_in, ..new }, by()).await?;
        harness.clock.advance_millis(1);
    }
    let (new, end) = (NewPassword::anyway("$".to_owned()), end("p", SignIns::All, harness.clock.now())?);
    assert_eq!(store.set_password(new, end, by()).await?, names);
    let trail = store.audit_after(0, 1000).await?;
    let last: Vec<_> =
        trail[trail.len() - 4..].iter().filter_map(|entry| entry.record.object.as_deref()).collect();
    let [first, second, third] = names.map(|name| format!("user:p/sign_in:{name}"));
    assert_eq!(last, [&first, &second, &third, "user:p/password"]);
    Ok(())
}

/// `set_password` ends the sign-ins that it names, in the same transaction.
pub async fn a_new_password_ends_sign_ins(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (kept, ended) = (begin(&harness, "p").await?, begin(&harness, "p").await?);
    let store = harness.store()?;
    let but = end("p", SignIns::AllBut(kept.id), harness.clock.now())?;
    assert_eq!(
        store.set_password(NewPassword::anyway("$argon2id$".to_owned()), but, by()).await?,
        [ended.id]
    );
    assert_eq!(store.sign_ins(&id("p")?).await?, [kept]);
    Ok(())
}

/// `add_sign_in` with a password that is not the user's any more stores and records nothing.
pub async fn a_sign_in_needs_the_password_that_was_verified(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let verified = |hash: &str| {
        let new = sign_in(&harness, "p")?;
        Ok::<_, Failed>(NewSignIn { verified: Some(hash.to_owned()), ..new })
    };
    let set = async |hash: &str| {
        let none = end("p", SignIns::One(Uuid::nil()), harness.clock.now())?;
        Ok::<_, Failed>(store.set_password(NewPassword::anyway(hash.to_owned()), none, by()).await?)
    };
    let changed = Err(Error::Changed("password"));
    assert_eq!(store.add_sign_in(verified("$one")?, by()).await, changed, "there is none");
    set("$one").await?;
    store.add_sign_in(verified("$one")?, by()).await?;
    set("$two").await?;
    let recorded = store.audit_after(0, 1000).await?.len();
    assert_eq!(store.add_sign_in(verified("$one")?, by()).await, changed);
    assert_eq!(store.audit_after(0, 1000).await?.len(), recorded);
    assert_eq!(store.sign_ins(&id("p")?).await?.len(), 1);
    store.add_sign_in(verified("$two")?, by()).await?;
    begin(&harness, "p").await?;
    assert_eq!(store.sign_ins(&id("p")?).await?.len(), 3);
    Ok(())
}
