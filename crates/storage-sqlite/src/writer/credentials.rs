//! Writing passwords, API tokens, passkeys and revocations.

use healthmate_care::{AuditRecord, By};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{
    ApiToken, Error, MAX_API_TOKENS, MAX_PASSKEYS, NewPassword, Passkey, Revocation, Revoked, SecretHash,
    SignInEnd,
};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use crate::credentials::PASSWORD;
use crate::failure::Failure;
use crate::writer::group::Group;
use crate::writer::sign_ins;

const SET_PASSWORD: &str = "INSERT INTO password (user, hash, changed_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (user) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at";
pub(crate) const API_TOKENS_HELD: &str =
    "SELECT count(*) FROM api_token WHERE user = ?1 AND revoked_at IS NULL";
const ADD_API_TOKEN: &str = "INSERT INTO api_token
        (id, user, name, scopes, hash, created_at, expires_at, last_used_at, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
pub(crate) const REVOKE_API_TOKEN: &str =
    "UPDATE api_token SET revoked_at = ?3 WHERE id = ?1 AND user = ?2 AND revoked_at IS NULL";
pub(crate) const API_TOKEN_USED: &str =
    "UPDATE api_token SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at < ?2, TRUE)";
pub(crate) const PASSKEYS_HELD: &str = "SELECT count(*) FROM passkey WHERE user = ?1";
const ADD_PASSKEY: &str = "INSERT INTO passkey
        (credential, user, name, algorithm, public_key, counter, created_at, last_used_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
pub(crate) const COUNTER: &str = "SELECT counter FROM passkey WHERE credential = ?1";
pub(crate) const PASSKEY_USED: &str =
    "UPDATE passkey SET counter = ?2, last_used_at = ?3 WHERE credential = ?1";
pub(crate) const REMOVE_PASSKEY: &str = "DELETE FROM passkey WHERE credential = ?1 AND user = ?2";
const REVOKE: &str = "INSERT INTO revocation (kind, id, until) VALUES (?1, ?2, ?3)
    ON CONFLICT (kind, id) DO UPDATE SET until = max(until, excluded.until)";

pub(crate) fn known(group: &mut Group<'_>, user: &UserId) -> Result<(), Failure> {
    group.person(user)?.map(drop).ok_or(Failure::Refused(Error::NotFound("user")))
}

/// Goes on only if the user's password is still this one, if one is given.
pub(crate) fn still(group: &Group<'_>, user: &UserId, hash: Option<&String>) -> Result<(), Failure> {
    let Some(hash) = hash else { return Ok(()) };
    let mut statement = group.conn.prepare_cached(PASSWORD)?;
    let held = statement.query_row([user.as_str()], |row| row.get::<_, String>(0)).optional()?;
    if held.as_ref() == Some(hash) { Ok(()) } else { Err(Error::Changed("password").into()) }
}

/// Goes on only if the user holds less than `limit` of what `count` counts.
fn has_room(
    group: &Group<'_>,
    user: &UserId,
    count: &str,
    (what, limit): (&'static str, u32),
) -> Result<(), Failure> {
    let held: u32 = group.conn.prepare_cached(count)?.query_row([user.as_str()], |row| row.get(0))?;
    if held < limit { Ok(()) } else { Err(Error::TooMany(what, limit).into()) }
}

pub(crate) fn set_password(
    group: &mut Group<'_>,
    new: &NewPassword,
    end: &SignInEnd,
    by: &By,
) -> Result<Vec<Uuid>, Failure> {
    known(group, &end.user)?;
    still(group, &end.user, new.instead_of.as_ref())?;
    let row = params![end.user.as_str(), new.hash, by.at.as_micros()];
    group.conn.prepare_cached(SET_PASSWORD)?.execute(row)?;
    let ended = sign_ins::end(group, end, by)?;
    group.audit(&AuditRecord::password_set(by.clone(), &end.user))?;
    Ok(ended)
}

pub(crate) fn add_api_token(
    group: &mut Group<'_>,
    token: &ApiToken,
    hash: &SecretHash,
    by: &By,
) -> Result<(), Failure> {
    known(group, &token.user)?;
    has_room(group, &token.user, API_TOKENS_HELD, ("API token", MAX_API_TOKENS))?;
    let (id, column) = (token.id.to_string(), SealedColumn::ApiTokenName);
    let name = group.sealer.seal(group.conn, &token.user, column, id.as_bytes(), &token.name)?;
    let row = params![
        id,
        token.user.as_str(),
        name,
        token.scopes.to_string(),
        hash,
        token.created_at.as_micros(),
        token.expires_at.map(Timestamp::as_micros),
        token.last_used_at.map(Timestamp::as_micros),
        token.revoked_at.map(Timestamp::as_micros),
    ];
    if group.conn.prepare_cached(ADD_API_TOKEN)?.execute(row)? == 0 {
        return Err(Error::Exists("API token").into());
    }
    Ok(group.audit(&AuditRecord::api_token_issued(by.clone(), &token.user, token.id))?)
}

pub(crate) fn revoke_api_token(
    group: &mut Group<'_>,
    user: &UserId,
    id: Uuid,
    by: &By,
) -> Result<(), Failure> {
    let row = params![id.to_string(), user.as_str(), by.at.as_micros()];
    match group.conn.prepare_cached(REVOKE_API_TOKEN)?.execute(row)? {
        0 => Err(Error::NotFound("API token").into()),
        _ => Ok(group.audit(&AuditRecord::api_token_revoked(by.clone(), user, id))?),
    }
}

pub(crate) fn api_tokens_used(group: &mut Group<'_>, used: &[(Uuid, Timestamp)]) -> Result<(), Failure> {
    let mut statement = group.conn.prepare_cached(API_TOKEN_USED)?;
    for (id, at) in used {
        statement.execute(params![id.to_string(), at.as_micros()])?;
    }
    Ok(())
}

pub(crate) fn add_passkey(group: &mut Group<'_>, passkey: &Passkey, by: &By) -> Result<(), Failure> {
    let Passkey { credential, user, name, .. } = passkey;
    known(group, user)?;
    has_room(group, user, PASSKEYS_HELD, ("passkey", MAX_PASSKEYS))?;
    let name = group.sealer.seal(group.conn, user, SealedColumn::PasskeyName, credential, name)?;
    let row = params![
        credential,
        user.as_str(),
        name,
        passkey.algorithm,
        passkey.public_key,
        passkey.counter,
        passkey.created_at.as_micros(),
        passkey.last_used_at.map(Timestamp::as_micros),
    ];
    if group.conn.prepare_cached(ADD_PASSKEY)?.execute(row)? == 0 {
        return Err(Error::Exists("passkey").into());
    }
    Ok(group.audit(&AuditRecord::passkey_added(by.clone(), user))?)
}

pub(crate) fn passkey_used(
    group: &mut Group<'_>,
    credential: &[u8],
    counter: u32,
    at: Timestamp,
) -> Result<bool, Failure> {
    let held = group.conn.prepare_cached(COUNTER)?.query_row([credential], |row| row.get::<_, u32>(0));
    let held = held.optional()?.ok_or(Error::NotFound("passkey"))?;
    if counter <= held && (counter, held) != (0, 0) {
        return Ok(false);
    }
    group.conn.prepare_cached(PASSKEY_USED)?.execute(params![credential, counter, at.as_micros()])?;
    Ok(true)
}

pub(crate) fn remove_passkey(
    group: &mut Group<'_>,
    user: &UserId,
    credential: &[u8],
    by: &By,
) -> Result<(), Failure> {
    match group.conn.prepare_cached(REMOVE_PASSKEY)?.execute(params![credential, user.as_str()])? {
        0 => Err(Error::NotFound("passkey").into()),
        _ => Ok(group.audit(&AuditRecord::passkey_removed(by.clone(), user))?),
    }
}

pub(crate) fn revoke_token(
    group: &mut Group<'_>,
    user: &UserId,
    revocation: &Revocation,
    by: &By,
) -> Result<(), Failure> {
    revoke(group, &revocation.what, revocation.until)?;
    Ok(group.audit(&AuditRecord::token_revoked(by.clone(), user))?)
}

/// Remembers what was taken back, until it has ended by itself.
pub(crate) fn revoke(group: &Group<'_>, what: &Revoked, until: Timestamp) -> Result<(), Failure> {
    let (kind, id) = match what {
        Revoked::SignIn(id) => ("sid", id),
        Revoked::Token(id) => ("jti", id),
    };
    group.conn.prepare_cached(REVOKE)?.execute(params![kind, id, until.as_micros()])?;
    Ok(())
}
