//! Writing users and care relations.

use healthmate_care::{AuditRecord, By, CareRelation, Role, User};
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{Error, Manager};
use rusqlite::{OptionalExtension, params};

use crate::audit::word;
use crate::failure::Failure;
use crate::queries;
use crate::writer::group::Group;

pub(crate) const TAKEN: &str = "SELECT 1 FROM user WHERE id = ?1";
const ADD_USER: &str = "INSERT INTO user (id, role, name, device_of, active) VALUES (?1, ?2, ?3, ?4, ?5)";
const SET_ACTIVE: &str = "UPDATE user SET active = ?2 WHERE id = ?1 AND erased_at IS NULL";
pub(crate) const ROLE: &str = "SELECT role, active FROM user WHERE id = ?1 AND erased_at IS NULL";
const SET_ROLE: &str = "UPDATE user SET role = ?2 WHERE id = ?1 AND erased_at IS NULL";
const ADD_RELATION: &str =
    "INSERT INTO care_relation (patient, member, starts_at, ends_at, relation, scopes, granted_by)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (patient, member) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,
        relation = excluded.relation, scopes = excluded.scopes, granted_by = excluded.granted_by";
pub(crate) const REMOVE_RELATION: &str = "DELETE FROM care_relation WHERE patient = ?1 AND member = ?2";

pub(crate) fn add_user(group: &mut Group<'_>, user: &User, by: &By) -> Result<(), Failure> {
    // Of an erased user, too.
    if group.conn.prepare_cached(TAKEN)?.exists([user.id.as_str()])? {
        return Err(Error::Exists("user").into());
    }
    match (user.role, &user.device_of) {
        (Role::Device, Some(patient)) => drop(group.patient(patient)?),
        (Role::Device, None) => return Err(Error::NotFound("patient").into()),
        (_, Some(_)) => return Err(Error::NotFound("device").into()),
        (_, None) => {}
    }
    let device_of = user.device_of.as_ref().map(UserId::as_str);
    let key = group.sealer.new_key();
    let (row, clock) = (user.id.as_str().as_bytes(), group.sealer.clock());
    let name = key.seal(&user.id, SealedColumn::UserName, row, user.name.as_bytes(), clock);
    let row = params![user.id.as_str(), user.role.as_str(), name, device_of, user.active];
    group.conn.prepare_cached(ADD_USER)?.execute(row)?;
    group.sealer.store_key(group.conn, &user.id, &key)?;
    group.audit(&AuditRecord::user_added(by.clone(), user))?;
    Ok(())
}

pub(crate) fn set_active(group: &mut Group<'_>, id: &UserId, active: bool, by: &By) -> Result<(), Failure> {
    match group.conn.prepare_cached(SET_ACTIVE)?.execute(params![id.as_str(), active])? {
        0 => Err(Error::NotFound("user").into()),
        _ => Ok(group.audit(&AuditRecord::user_switched(by.clone(), id, active))?),
    }
}

pub(crate) fn set_role(group: &mut Group<'_>, id: &UserId, role: Role, by: &By) -> Result<(), Failure> {
    let held = group.conn.prepare_cached(ROLE)?.query_row([id.as_str()], |row| word(row, 0)).optional()?;
    let held = held.ok_or(Error::NotFound("user"))?;
    if let Some(stays) = [held, role].into_iter().find(|role| role.is_for_good()) {
        return Err(Error::RoleStays(stays).into());
    }
    group.conn.prepare_cached(SET_ROLE)?.execute([id.as_str(), role.as_str()])?;
    group.audit(&AuditRecord::role_changed(by.clone(), id, role))?;
    Ok(())
}

/// Goes on only if the manager is still active, with the role and the place that the change was decided by.
pub(crate) fn still_manages(group: &Group<'_>, patient: &UserId, manager: &Manager) -> Result<(), Failure> {
    let row = |row: &rusqlite::Row<'_>| Ok((word::<Role>(row, 0)?, row.get::<_, bool>(1)?));
    let mut statement = group.conn.prepare_cached(ROLE)?;
    let held = statement.query_row([manager.user.as_str()], row).optional()?;
    let has_place = match &manager.place {
        Some(place) => queries::care_relation(group.conn, patient, &manager.user)?.as_ref() == Some(place),
        None => true,
    };
    if held == Some((manager.role, true)) && has_place {
        return Ok(());
    }
    Err(Error::Changed("manager").into())
}

pub(crate) fn add_care_relation(
    group: &mut Group<'_>,
    relation: &CareRelation,
    by: &By,
) -> Result<(), Failure> {
    group.patient(&relation.patient)?;
    group.person(&relation.member)?.ok_or(Error::NotFound("user"))?;
    if let Some(granter) = &relation.granted_by {
        group.person(granter)?.ok_or(Error::NotFound("user"))?;
    }
    group.conn.prepare_cached(ADD_RELATION)?.execute(params![
        relation.patient.as_str(),
        relation.member.as_str(),
        relation.starts_at.as_micros(),
        relation.ends_at.map(Timestamp::as_micros),
        relation.relation.as_str(),
        relation.scopes.bits(),
        relation.granted_by.as_ref().map(UserId::as_str),
    ])?;
    group.audit(&AuditRecord::access_granted(by.clone(), relation))?;
    Ok(())
}

pub(crate) fn remove_care_relation(
    group: &mut Group<'_>,
    patient: &UserId,
    member: &UserId,
    by: &By,
) -> Result<(), Failure> {
    match group.conn.prepare_cached(REMOVE_RELATION)?.execute([patient.as_str(), member.as_str()])? {
        0 => Err(Error::NotFound("care relation").into()),
        _ => Ok(group.audit(&AuditRecord::access_ended(by.clone(), patient, member))?),
    }
}
