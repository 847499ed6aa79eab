//! Writing sign-ins.

use healthmate_care::{AuditRecord, By};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{
    API_TOKEN_REMEMBERED_MS, Error, NewSignIn, Revoked, Rotated, Rotation, SecretHash, SignIn, SignInEnd,
    SignIns,
};
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use crate::credentials::{sign_in, uuid};
use crate::failure::Failure;
use crate::queries::{rows, time};
use crate::writer::credentials::{known, revoke, still};
use crate::writer::group::Group;

const ADD: &str = "INSERT INTO sign_in
        (id, user, method, label, address, created_at, last_used_at, expires_at, family, current, rotated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?6) ON CONFLICT DO NOTHING";
pub(crate) const FIND: &str =
    "SELECT id, user, method, label, address, created_at, last_used_at, expires_at, ended_at, family, current,
        previous, rotated_at FROM sign_in WHERE id = ?1";
/// Exchanged at ?4; of one that is exchanged once more within its grace, nothing but the current token changes.
pub(crate) const ROTATE: &str =
    "UPDATE sign_in SET current = ?2, previous = ?3, rotated_at = ?4, last_used_at = ?5, generation = generation + 1
    WHERE id = ?1";
pub(crate) const ACTIVE: &str = "SELECT active FROM user WHERE id = ?1";
pub(crate) const OPEN: &str =
    "SELECT id FROM sign_in WHERE user = ?1 AND ended_at IS NULL ORDER BY created_at, id";
pub(crate) const END: &str = "UPDATE sign_in SET ended_at = ?2 WHERE id = ?1";
pub(crate) const FORGET: &str = "DELETE FROM sign_in WHERE id IN
    (SELECT id FROM sign_in WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
pub(crate) const FORGET_API_TOKENS: &str = "DELETE FROM api_token WHERE id IN
    (SELECT id FROM api_token WHERE ended_at <= ?1 ORDER BY ended_at LIMIT ?2)";
pub(crate) const FORGET_REVOCATIONS: &str = "DELETE FROM revocation WHERE (kind, id) IN
    (SELECT kind, id FROM revocation WHERE until <= ?1 ORDER BY until LIMIT ?2)";

pub(crate) fn add(group: &mut Group<'_>, new: &NewSignIn, by: &By) -> Result<(), Failure> {
    let SignIn { id, user, method, label, address, created_at, last_used_at, expires_at } = &new.sign_in;
    known(group, user)?;
    still(group, user, new.verified.as_ref())?;
    let name = id.to_string();
    let seal = |label: &String| {
        group.sealer.seal(group.conn, user, SealedColumn::SignInLabel, name.as_bytes(), label)
    };
    let label = label.as_ref().map(seal).transpose()?;
    let row = params![
        name,
        user.as_str(),
        method.as_str(),
        label,
        address.map(|address| address.to_string()),
        created_at.as_micros(),
        last_used_at.as_micros(),
        expires_at.as_micros(),
        new.family,
        new.current,
    ];
    if group.conn.prepare_cached(ADD)?.execute(row)? == 0 {
        return Err(Error::Exists("sign-in").into());
    }
    Ok(group.audit(&AuditRecord::signed_in(by.clone(), user, *id, *method))?)
}

/// A sign-in and its refresh tokens.
struct Family {
    sign_in: SignIn,
    ended: bool,
    shared: SecretHash,
    current: SecretHash,
    previous: Option<SecretHash>,
    rotated_at: Timestamp,
}

fn family(group: &Group<'_>, row: &Row<'_>) -> rusqlite::Result<Family> {
    Ok(Family {
        sign_in: sign_in(group.conn, group.sealer, row)?,
        ended: row.get::<_, Option<i64>>(8)?.is_some(),
        shared: row.get(9)?,
        current: row.get(10)?,
        previous: row.get(11)?,
        rotated_at: time(row, 12)?,
    })
}

pub(crate) fn rotate(group: &mut Group<'_>, rotation: &Rotation, by: &By) -> Result<Rotated, Failure> {
    let id = rotation.sign_in.to_string();
    let found = group.conn.prepare_cached(FIND)?.query_row([&id], |row| family(group, row)).optional()?;
    let Some(held) = found.filter(|held| held.shared == rotation.family) else {
        return Ok(Rotated::Unknown);
    };
    if held.ended {
        return Ok(Rotated::Ended);
    }
    if held.sign_in.expires_at <= by.at || held.sign_in.last_used_at < rotation.idle_since {
        return Ok(Rotated::Expired);
    }
    let (previous, rotated_at) = if rotation.presented == held.current {
        (held.current, by.at)
    } else if held.previous == Some(rotation.presented) && held.rotated_at >= rotation.grace_since {
        (rotation.presented, held.rotated_at)
    } else {
        return reused(group, rotation, held.sign_in.user, by);
    };
    let user = held.sign_in.user.as_str();
    if !group.conn.prepare_cached(ACTIVE)?.query_row([user], |row| row.get::<_, bool>(0))? {
        return Ok(Rotated::Inactive(held.sign_in.user));
    }
    let now = by.at.as_micros();
    let row = params![id, rotation.next, previous, rotated_at.as_micros(), now];
    group.conn.prepare_cached(ROTATE)?.execute(row)?;
    Ok(Rotated::Renewed(SignIn { last_used_at: by.at, ..held.sign_in }))
}

fn reused(group: &mut Group<'_>, rotation: &Rotation, user: UserId, by: &By) -> Result<Rotated, Failure> {
    let (which, reason) = (SignIns::One(rotation.sign_in), "refresh_token_reused");
    let end_of_it = SignInEnd { user: user.clone(), which, reason, access_until: rotation.access_until };
    end(group, &end_of_it, by)?;
    Ok(Rotated::Reused(user))
}

pub(crate) fn end(group: &mut Group<'_>, end: &SignInEnd, by: &By) -> Result<Vec<Uuid>, Failure> {
    let open = rows(group.conn, OPEN, [end.user.as_str()], |row| uuid(row, 0))?;
    let ended: Vec<_> = open.into_iter().filter(|id| end.which.includes(*id)).collect();
    for id in &ended {
        group.conn.prepare_cached(END)?.execute(params![id.to_string(), by.at.as_micros()])?;
        revoke(group, &Revoked::SignIn(id.to_string()), end.access_until)?;
    }
    for id in &ended {
        group.audit(&AuditRecord::sign_in_ended(by.clone(), &end.user, *id, end.reason))?;
    }
    Ok(ended)
}

pub(crate) fn forget_ended(group: &mut Group<'_>, before: Timestamp, limit: u32) -> Result<u64, Failure> {
    let sign_ins = group.conn.prepare_cached(FORGET)?.execute(params![before.as_micros(), limit])?;
    let revocations =
        group.conn.prepare_cached(FORGET_REVOCATIONS)?.execute(params![before.as_micros(), limit])?;
    let remembered = before.plus_millis(-API_TOKEN_REMEMBERED_MS);
    let tokens =
        group.conn.prepare_cached(FORGET_API_TOKENS)?.execute(params![remembered.as_micros(), limit])?;
    Ok((sign_ins + revocations + tokens) as u64)
}
