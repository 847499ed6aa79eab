//! Passwords, API tokens, passkeys and revocations.

use healthmate_care::{By, Clock, TokenScope};
use healthmate_protocol::Timestamp;
use uuid::Uuid;

use super::sample::{by, id, people};
use super::{Failed, Harness, Outcome};
use crate::{
    API_TOKEN_REMEMBERED_MS, ApiToken, Error, MAX_API_TOKENS, MAX_PASSKEYS, NewPassword, Passkey, Revocation,
    Revoked, SignInEnd, SignIns,
};

fn every(user: &str, at: Timestamp) -> Result<SignInEnd, Failed> {
    Ok(SignInEnd { user: id(user)?, which: SignIns::All, reason: "password_changed", access_until: at })
}

fn password(hash: &str) -> NewPassword {
    NewPassword::anyway(hash.to_owned())
}

pub(super) fn token(harness: &Harness, user: &str) -> Result<ApiToken, Failed> {
    Ok(ApiToken {
        id: harness.clock.uuid(),
        user: id(user)?,
        name: "scale «kitchen»".to_owned(),
        scopes: [TokenScope::WriteMeasurements].into_iter().collect(),
        created_at: harness.clock.now(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    })
}

pub(super) fn passkey(harness: &Harness, user: &str, credential: &[u8]) -> Result<Passkey, Failed> {
    Ok(Passkey {
        credential: credential.to_vec(),
        user: id(user)?,
        name: "phone".to_owned(),
        algorithm: -7,
        public_key: vec![4; 65],
        counter: 0,
        created_at: harness.clock.now(),
        last_used_at: None,
    })
}

/// The last words of the trail, from the oldest of them on.
async fn said(harness: &Harness, last: usize) -> Result<Vec<String>, Failed> {
    let entries = harness.store()?.audit_after(0, 1000).await?;
    let words = entries.iter().map(|entry| {
        let object = entry.record.object.as_deref().unwrap_or("-");
        // Without the id at the end, which is new each time.
        format!("{} {}", entry.record.action, object.split_once("token:").map_or(object, |(kind, _)| kind))
    });
    Ok(words.skip(entries.len().saturating_sub(last)).collect())
}

/// `set_password` twice: the second one counts. Nobody else has it, and a stranger gets none.
pub async fn a_password_is_set_and_changed(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let end = every("p", harness.clock.now())?;
    assert_eq!(harness.store()?.password(&id("p")?).await?, None);
    for hash in ["$argon2id$one", "$argon2id$two"] {
        let ended = harness.store()?.set_password(password(hash), end.clone(), by()).await?;
        assert!(ended.is_empty());
        assert_eq!(harness.store()?.password(&id("p")?).await?.as_deref(), Some(hash));
    }
    assert_eq!(harness.store()?.password(&id("q")?).await?, None);
    let stranger = every("nobody", harness.clock.now())?;
    let refused = harness.store()?.set_password(password("$"), stranger, by()).await;
    assert_eq!(refused, Err(Error::NotFound("user")));
    let issued = "credential_issued user:p/password";
    assert_eq!(said(&harness, 2).await?, [issued, issued]);
    harness.reopen()?;
    assert_eq!(harness.store()?.password(&id("p")?).await?.as_deref(), Some("$argon2id$two"));
    Ok(())
}

/// `set_password` in the place of another: only while that is there, and what is refused changes nothing.
pub async fn a_password_is_changed_only_where_it_was(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let set = async |hash: &str, instead_of: &str| {
        let new = NewPassword { instead_of: Some(instead_of.to_owned()), ..password(hash) };
        Ok::<_, Failed>(store.set_password(new, every("p", harness.clock.now())?, by()).await)
    };
    let changed = || Err(Error::Changed("password"));
    assert_eq!(set("$two", "$one").await?, changed(), "there is none");
    store.set_password(password("$one"), every("p", harness.clock.now())?, by()).await?;
    store.set_password(password("$two"), every("q", harness.clock.now())?, by()).await?;
    let recorded = store.audit_after(0, 1000).await?.len();
    assert_eq!(set("$three", "$two").await?, changed(), "it is q's");
    assert_eq!(store.password(&id("p")?).await?.as_deref(), Some("$one"));
    assert_eq!(store.audit_after(0, 1000).await?.len(), recorded);
    assert_eq!(set("$three", "$one").await?, Ok(Vec::new()));
    assert_eq!(set("$four", "$one").await?, changed(), "only one of two wins");
    assert_eq!(store.password(&id("p")?).await?.as_deref(), Some("$three"));
    Ok(())
}

/// `add_api_token` and `add_passkey` up to what a user may have, however many come at once.
pub async fn a_user_has_only_so_many_api_tokens_and_passkeys(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    for _ in 1..MAX_API_TOKENS {
        store.add_api_token(token(&harness, "p")?, [1; 32], by()).await?;
    }
    let (one, other) = (token(&harness, "p")?, token(&harness, "p")?);
    let at_once = tokio::join!(
        store.add_api_token(one.clone(), [1; 32], by()),
        store.add_api_token(other.clone(), [1; 32], by()),
    );
    let too_many = Err(Error::TooMany("API token", MAX_API_TOKENS));
    assert!(at_once == (Ok(()), too_many.clone()) || at_once == (too_many.clone(), Ok(())), "{at_once:?}");
    let held = store.api_tokens(&id("p")?).await?;
    assert_eq!(held.len(), MAX_API_TOKENS as usize);
    store.revoke_api_token(&id("p")?, held[0].id, by()).await?;
    store.add_api_token(token(&harness, "p")?, [1; 32], by()).await?;
    assert_eq!(store.add_api_token(token(&harness, "p")?, [1; 32], by()).await, too_many);
    store.add_api_token(token(&harness, "q")?, [1; 32], by()).await?;

    for number in 1..=MAX_PASSKEYS {
        store.add_passkey(passkey(&harness, "p", &number.to_be_bytes())?, by()).await?;
    }
    let refused = store.add_passkey(passkey(&harness, "p", &[0])?, by()).await;
    assert_eq!(refused, Err(Error::TooMany("passkey", MAX_PASSKEYS)));
    store.add_passkey(passkey(&harness, "q", &[0])?, by()).await?;
    store.remove_passkey(&id("p")?, &1_u32.to_be_bytes(), by()).await?;
    store.add_passkey(passkey(&harness, "p", &[1])?, by()).await?;
    Ok(())
}

/// `add_api_token`, `api_token`, `api_tokens`, `revoke_api_token`.
pub async fn an_api_token_is_issued_listed_and_revoked_once(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let (first, second) = (token(&harness, "p")?, token(&harness, "p")?);
    let scopes = TokenScope::ALL.into_iter().collect();
    let expires_at = Some(harness.clock.now().plus_millis(5));
    let second = ApiToken { created_at: first.created_at.plus_millis(1), scopes, expires_at, ..second };
    for (token, hash) in [(&first, [1; 32]), (&second, [2; 32])] {
        store.add_api_token(token.clone(), hash, by()).await?;
        assert_eq!(store.api_token(token.id).await?, Some((token.clone(), hash)));
        let again = store.add_api_token(token.clone(), hash, by()).await;
        assert_eq!(again, Err(Error::Exists("API token")));
    }
    let stranger = store.add_api_token(token(&harness, "nobody")?, [3; 32], by()).await;
    assert_eq!(stranger, Err(Error::NotFound("user")));
    assert_eq!(store.api_tokens(&id("p")?).await?, [second.clone(), first.clone()]);
    assert!(store.api_tokens(&id("q")?).await?.is_empty());
    assert_eq!(store.api_token(Uuid::nil()).await?, None);

    let version = store.directory_version().await?;
    let missing = Err(Error::NotFound("API token"));
    assert_eq!(store.revoke_api_token(&id("q")?, first.id, by()).await, missing, "it is not q's");
    assert_eq!(store.directory_version().await?, version);
    store.revoke_api_token(&id("p")?, first.id, by()).await?;
    assert!(store.directory_version().await? > version, "open connections must hear of it");
    assert_eq!(store.revoke_api_token(&id("p")?, first.id, by()).await, missing, "only once");
    assert_eq!(store.api_tokens(&id("p")?).await?, [second]);
    let kept = store.api_token(first.id).await?.ok_or("it is kept")?.0;
    assert_eq!(kept, ApiToken { revoked_at: Some(by().at), ..first });
    let expected =
        ["credential_issued user:p/api_", "credential_issued user:p/api_", "credential_revoked user:p/api_"];
    assert_eq!(said(&harness, 3).await?, expected);
    Ok(())
}

/// `add_api_token` and `add_passkey` keep every field that they are given.
pub async fn what_was_used_or_revoked_before_is_stored_so(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (store, at) = (harness.store()?, Some(harness.clock.now().plus_millis(7)));
    let token = ApiToken { expires_at: at, last_used_at: at, revoked_at: at, ..token(&harness, "p")? };
    store.add_api_token(token.clone(), [1; 32], by()).await?;
    assert_eq!(store.api_token(token.id).await?, Some((token, [1; 32])));
    assert!(store.api_tokens(&id("p")?).await?.is_empty());
    let passkey = Passkey { last_used_at: at, counter: 7, ..passkey(&harness, "p", &[1])? };
    store.add_passkey(passkey.clone(), by()).await?;
    assert_eq!(store.passkey(&[1]).await?, Some(passkey));
    Ok(())
}

/// `api_tokens_used` keeps the latest time, passes over unknown ids, and is no change of the directory.
pub async fn the_last_use_of_an_api_token_is_kept(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let token = token(&harness, "d")?;
    store.add_api_token(token.clone(), [1; 32], by()).await?;
    let version = store.directory_version().await?;
    let now = harness.clock.now();
    for (at, expected) in [(10, 10), (5, 10), (11, 11)] {
        store.api_tokens_used(vec![(Uuid::nil(), now), (token.id, now.plus_millis(at))]).await?;
        let held = store.api_token(token.id).await?.ok_or("it is there")?.0;
        assert_eq!(held.last_used_at, Some(now.plus_millis(expected)));
    }
    store.api_tokens_used(Vec::new()).await?;
    assert_eq!(store.directory_version().await?, version);
    Ok(())
}

/// `forget_ended` of API tokens: the first of their own end and their being taken back counts, the oldest end first.
pub async fn an_api_token_is_forgotten_some_time_after_it_ended(harness: Harness) -> Outcome {
    people(&harness).await?;
    let (store, now) = (harness.store()?, harness.clock.now());
    // When each expires and is revoked, and when that makes it end.
    let table = [
        (Some(4), None, Some(4)),
        (None, Some(1), Some(1)),
        (Some(9), Some(2), Some(2)),
        (Some(3), Some(8), Some(3)),
        (None, None, None),
    ];
    let mut ends = Vec::new();
    for (expires, revoked, ends_at) in table {
        let expires_at = expires.map(|at| now.plus_millis(at));
        let token = ApiToken { expires_at, ..token(&harness, "p")? };
        store.add_api_token(token.clone(), [1; 32], by()).await?;
        if let Some(at) = revoked {
            let by = By { at: now.plus_millis(at), ..by() };
            store.revoke_api_token(&token.user, token.id, by).await?;
        }
        ends.push((token.id, ends_at));
    }
    let before = (store.directory_version().await?, store.audit_after(0, 1000).await?.len());
    let moment = |at: i64| now.plus_millis(at + API_TOKEN_REMEMBERED_MS);
    for (at, limit, forgotten, gone) in
        [(1, 0, 0, 0), (0, 9, 0, 0), (1, 9, 1, 1), (4, 2, 2, 3), (4, 9, 1, 4), (999, 9, 0, 4)]
    {
        assert_eq!(store.forget_ended(moment(at), limit).await?, forgotten, "at {at}, {limit} at most");
        for (id, ends_at) in &ends {
            let is_kept = ends_at.is_none_or(|at| at > gone);
            assert_eq!(store.api_token(*id).await?.is_some(), is_kept, "ended at {ends_at:?}, {gone} gone");
        }
    }
    let listed: Vec<_> = store.api_tokens(&id("p")?).await?.into_iter().map(|token| token.id).collect();
    assert_eq!(listed, [ends[4].0]);
    assert_eq!((store.directory_version().await?, store.audit_after(0, 1000).await?.len()), before);
    Ok(())
}

/// `add_passkey`, `passkey`, `passkeys`, `remove_passkey`.
pub async fn a_passkey_is_its_users_until_removed(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    let first = passkey(&harness, "p", &[0, 255])?;
    let second = Passkey { created_at: first.created_at.plus_millis(1), ..passkey(&harness, "p", &[0])? };
    store.add_passkey(second.clone(), by()).await?;
    store.add_passkey(first.clone(), by()).await?;
    for refused in [first.clone(), passkey(&harness, "q", &[0, 255])?] {
        assert_eq!(store.add_passkey(refused, by()).await, Err(Error::Exists("passkey")));
    }
    let stranger = store.add_passkey(passkey(&harness, "nobody", &[9])?, by()).await;
    assert_eq!(stranger, Err(Error::NotFound("user")));
    assert_eq!(store.passkey(&[0, 255]).await?, Some(first.clone()));
    assert_eq!(store.passkey(&[255]).await?, None);
    assert_eq!(store.passkeys(&id("p")?).await?, [first, second.clone()]);
    let missing = Err(Error::NotFound("passkey"));
    assert_eq!(store.remove_passkey(&id("q")?, &[0, 255], by()).await, missing, "it is not q's");
    store.remove_passkey(&id("p")?, &[0, 255], by()).await?;
    assert_eq!(store.remove_passkey(&id("p")?, &[0, 255], by()).await, missing, "only once");
    assert_eq!(store.passkeys(&id("p")?).await?, [second]);
    let expected = ["credential_issued user:p/passkey", "credential_revoked user:p/passkey"];
    assert_eq!(said(&harness, 2).await?, expected);
    Ok(())
}

/// `passkey_used`: a counter goes on, or is not there at all.
pub async fn a_passkeys_counter_never_goes_back(harness: Harness) -> Outcome {
    people(&harness).await?;
    let store = harness.store()?;
    store.add_passkey(passkey(&harness, "p", &[1])?, by()).await?;
    let now = harness.clock.now();
    for (counter, good) in
        [(0, true), (0, true), (4, true), (4, false), (3, false), (0, false), (u32::MAX, true)]
    {
        assert_eq!(store.passkey_used(&[1], counter, now).await?, good, "{counter}");
    }
    let held = store.passkey(&[1]).await?.ok_or("it is there")?;
    assert_eq!((held.counter, held.last_used_at), (u32::MAX, Some(now)));
    assert_eq!(store.passkey_used(&[2], 1, now).await, Err(Error::NotFound("passkey")));
    Ok(())
}

/// `revoke_token`, `revocations`: until the token's own end, and the later of two ends counts.
pub async fn a_revocation_is_kept_until_the_token_has_ended(mut harness: Harness) -> Outcome {
    people(&harness).await?;
    let now = harness.clock.now();
    let revocation = |name: &str, millis| Revocation {
        what: Revoked::Token(name.to_owned()),
        until: now.plus_millis(millis),
    };
    let before = harness.store()?.directory_version().await?;
    for (name, millis) in [("a", 10), ("b", 20), ("a", 5), ("' OR 1=1 --", 30)] {
        harness.store()?.revoke_token(&id("p")?, revocation(name, millis), by()).await?;
    }
    assert!(harness.store()?.directory_version().await? > before);
    harness.reopen()?;
    let store = harness.store()?;
    let mut live = store.revocations(now).await?;
    live.sort_by_key(|revocation| revocation.until);
    assert_eq!(live, [revocation("a", 10), revocation("b", 20), revocation("' OR 1=1 --", 30)]);
    assert_eq!(store.revocations(now.plus_millis(10)).await?.len(), 2);
    assert_eq!(store.forget_ended(now.plus_millis(20), 1).await?, 1);
    assert_eq!(store.forget_ended(now.plus_millis(20), 5).await?, 1);
    assert_eq!(store.revocations(now).await?, [revocation("' OR 1=1 --", 30)]);
    assert_eq!(said(&harness, 1).await?, ["credential_revoked user:p/token"]);
    Ok(())
}
