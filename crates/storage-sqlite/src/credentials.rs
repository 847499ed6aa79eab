//! Reading credentials, and the store's side of the trait: what is written is in `writer/credentials.rs` and
//! `writer/sign_ins.rs`.

use async_trait::async_trait;
use healthmate_care::By;
use healthmate_protocol::{Timestamp, UserId};
use healthmate_storage::seal::SealedColumn;
use healthmate_storage::{
    ApiToken, Credentials, Error, NewPassword, NewSignIn, Passkey, Revocation, Revoked, Rotated, Rotation,
    SecretHash, SignIn, SignInEnd,
};
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::SqliteStore;
use crate::audit::{optional_word, word};
use crate::failure::Failure;
use crate::queries::{optional_time, rows, time, unreadable, user_id};
use crate::sealer::Sealer;
use crate::writer::{credentials, sign_ins};

pub(crate) const PASSWORD: &str = "SELECT hash FROM password WHERE user = ?1";
pub(crate) const SIGN_INS: &str =
    "SELECT id, user, method, label, address, created_at, last_used_at, expires_at FROM sign_in
    WHERE user = ?1 AND ended_at IS NULL ORDER BY created_at DESC, id DESC";
pub(crate) const API_TOKEN: &str =
    "SELECT id, user, name, scopes, created_at, expires_at, last_used_at, revoked_at, hash FROM api_token
    WHERE id = ?1";
pub(crate) const API_TOKENS: &str =
    "SELECT id, user, name, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_token
    WHERE user = ?1 AND revoked_at IS NULL ORDER BY created_at DESC, id DESC";
pub(crate) const PASSKEY: &str =
    "SELECT credential, user, name, algorithm, public_key, counter, created_at, last_used_at FROM passkey
    WHERE credential = ?1";
pub(crate) const PASSKEYS: &str =
    "SELECT credential, user, name, algorithm, public_key, counter, created_at, last_used_at FROM passkey
    WHERE user = ?1 ORDER BY created_at, credential";
pub(crate) const REVOCATIONS: &str = "SELECT kind, id, until FROM revocation WHERE until > ?1 ORDER BY until";

pub(crate) fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text = row.get_ref(column)?.as_str()?;
    Uuid::parse_str(text).map_err(|error| unreadable(column, Type::Text, error))
}

/// The columns of [`SIGN_INS`].
pub(crate) fn sign_in(conn: &Connection, sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<SignIn> {
    let (name, user) = (row.get_ref(0)?.as_str()?.as_bytes(), user_id(row, 1)?);
    let open = |label| sealer.open(conn, &user, SealedColumn::SignInLabel, name, label);
    let label = row.get_ref(3)?.as_blob_or_null()?.map(open).transpose()?;
    Ok(SignIn {
        id: uuid(row, 0)?,
        user,
        method: word(row, 2)?,
        label,
        address: optional_word(row, 4)?,
        created_at: time(row, 5)?,
        last_used_at: time(row, 6)?,
        expires_at: time(row, 7)?,
    })
}

fn api_token(conn: &Connection, sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    let (id, user) = (row.get_ref(0)?.as_str()?.as_bytes(), user_id(row, 1)?);
    let name = sealer.open(conn, &user, SealedColumn::ApiTokenName, id, row.get_ref(2)?.as_blob()?)?;
    Ok(ApiToken {
        id: uuid(row, 0)?,
        user,
        name,
        scopes: word(row, 3)?,
        created_at: time(row, 4)?,
        expires_at: optional_time(row, 5)?,
        last_used_at: optional_time(row, 6)?,
        revoked_at: optional_time(row, 7)?,
    })
}

fn passkey(conn: &Connection, sealer: &Sealer, row: &Row<'_>) -> rusqlite::Result<Passkey> {
    let (credential, user): (Vec<u8>, _) = (row.get(0)?, user_id(row, 1)?);
    let name = row.get_ref(2)?.as_blob()?;
    Ok(Passkey {
        name: sealer.open(conn, &user, SealedColumn::PasskeyName, &credential, name)?,
        credential,
        user,
        algorithm: row.get(3)?,
        public_key: row.get(4)?,
        counter: row.get(5)?,
        created_at: time(row, 6)?,
        last_used_at: optional_time(row, 7)?,
    })
}

fn revocation(row: &Row<'_>) -> rusqlite::Result<Revocation> {
    let id = row.get(1)?;
    let what = match row.get_ref(0)?.as_str()? {
        "sid" => Revoked::SignIn(id),
        "jti" => Revoked::Token(id),
        _ => return Err(unreadable(0, Type::Text, "an unknown kind of revocation")),
    };
    Ok(Revocation { what, until: time(row, 2)? })
}

fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, Failure> {
    Ok(rows(conn, sql, params, row)?.pop())
}

#[async_trait]
impl Credentials for SqliteStore {
    async fn password(&self, user: &UserId) -> Result<Option<String>, Error> {
        let user = user.clone();
        self.readers.read(move |conn| one(conn, PASSWORD, [user.as_str()], |row| row.get(0))).await
    }

    async fn set_password(&self, new: NewPassword, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error> {
        self.writer.write(4, move |group| credentials::set_password(group, &new, &end, &by)).await
    }

    async fn add_sign_in(&self, new: NewSignIn, by: By) -> Result<(), Error> {
        self.writer.write(2, move |group| sign_ins::add(group, &new, &by)).await
    }

    async fn sign_ins(&self, user: &UserId) -> Result<Vec<SignIn>, Error> {
        let user = user.clone();
        let read = move |conn: &Connection, sealer: &Sealer| {
            rows(conn, SIGN_INS, [user.as_str()], |row| sign_in(conn, sealer, row))
        };
        self.read(read).await
    }

    async fn rotate(&self, rotation: Rotation, by: By) -> Result<Rotated, Error> {
        self.writer.write(1, move |group| sign_ins::rotate(group, &rotation, &by)).await
    }

    async fn end_sign_ins(&self, end: SignInEnd, by: By) -> Result<Vec<Uuid>, Error> {
        self.writer.write(3, move |group| sign_ins::end(group, &end, &by)).await
    }

    async fn add_api_token(&self, token: ApiToken, hash: SecretHash, by: By) -> Result<(), Error> {
        self.writer.write(2, move |group| credentials::add_api_token(group, &token, &hash, &by)).await
    }

    async fn api_token(&self, id: Uuid) -> Result<Option<(ApiToken, SecretHash)>, Error> {
        let read = move |conn: &Connection, sealer: &Sealer| {
            let row = |row: &Row<'_>| Ok((api_token(conn, sealer, row)?, row.get(8)?));
            one(conn, API_TOKEN, [id.to_string()], row)
        };
        self.read(read).await
    }

    async fn api_tokens(&self, user: &UserId) -> Result<Vec<ApiToken>, Error> {
        let user = user.clone();
        let read = move |conn: &Connection, sealer: &Sealer| {
            rows(conn, API_TOKENS, [user.as_str()], |row| api_token(conn, sealer, row))
        };
        self.read(read).await
    }

    async fn revoke_api_token(&self, user: &UserId, id: Uuid, by: By) -> Result<(), Error> {
        let user = user.clone();
        self.writer.write(2, move |group| credentials::revoke_api_token(group, &user, id, &by)).await
    }

    async fn api_tokens_used(&self, used: Vec<(Uuid, Timestamp)>) -> Result<(), Error> {
        self.writer.write(used.len(), move |group| credentials::api_tokens_used(group, &used)).await
    }

    async fn add_passkey(&self, passkey: Passkey, by: By) -> Result<(), Error> {
        self.writer.write(2, move |group| credentials::add_passkey(group, &passkey, &by)).await
    }

    async fn passkey(&self, credential: &[u8]) -> Result<Option<Passkey>, Error> {
        let credential = credential.to_vec();
        self.read(move |conn, sealer| one(conn, PASSKEY, [&credential], |row| passkey(conn, sealer, row)))
            .await
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, Error> {
        let user = user.clone();
        let read = move |conn: &Connection, sealer: &Sealer| {
            rows(conn, PASSKEYS, [user.as_str()], |row| passkey(conn, sealer, row))
        };
        self.read(read).await
    }

    async fn passkey_used(&self, credential: &[u8], counter: u32, at: Timestamp) -> Result<bool, Error> {
        let credential = credential.to_vec();
        self.writer.write(1, move |group| credentials::passkey_used(group, &credential, counter, at)).await
    }

    async fn remove_passkey(&self, user: &UserId, credential: &[u8], by: By) -> Result<(), Error> {
        let (user, credential) = (user.clone(), credential.to_vec());
        self.writer.write(2, move |group| credentials::remove_passkey(group, &user, &credential, &by)).await
    }

    async fn revoke_token(&self, user: &UserId, revocation: Revocation, by: By) -> Result<(), Error> {
        let user = user.clone();
        self.writer.write(2, move |group| credentials::revoke_token(group, &user, &revocation, &by)).await
    }

    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Error> {
        self.readers.read(move |conn| rows(conn, REVOCATIONS, [now.as_micros()], revocation)).await
    }

    async fn forget_ended(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let rows = limit as usize * 3;
        self.writer.write(rows, move |group| sign_ins::forget_ended(group, before, limit)).await
    }
}
