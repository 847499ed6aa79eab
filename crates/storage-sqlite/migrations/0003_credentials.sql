-- Credentials. Secrets are here as hashes only: argon2id of passwords, SHA-256 of what is random.

CREATE TABLE password (
    user       TEXT    NOT NULL PRIMARY KEY REFERENCES user (id),
    -- In the form of PHC: $argon2id$…
    hash       TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A sign-in is a family of refresh tokens, of which one is good at a time.
CREATE TABLE sign_in (
    id           TEXT    NOT NULL PRIMARY KEY,
    user         TEXT    NOT NULL REFERENCES user (id),
    method       TEXT    NOT NULL CHECK (method IN ('password', 'passkey')),
    label        TEXT,
    address      TEXT,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    -- The hash of what all its refresh tokens have in common, and of what the current one, and the one before, have not.
    family       BLOB    NOT NULL CHECK (length(family) = 32),
    current      BLOB    NOT NULL CHECK (length(current) = 32),
    previous     BLOB    CHECK (length(previous) = 32),
    rotated_at   INTEGER NOT NULL,
    -- How many refresh tokens there were.
    generation   INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1)
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_by_user ON sign_in (user, created_at, id) WHERE ended_at IS NULL;
CREATE INDEX sign_in_by_end ON sign_in (expires_at);

CREATE TABLE api_token (
    id           TEXT    NOT NULL PRIMARY KEY,
    user         TEXT    NOT NULL REFERENCES user (id),
    name         TEXT    NOT NULL,
    -- Words with a space between.
    scopes       TEXT    NOT NULL,
    hash         BLOB    NOT NULL CHECK (length(hash) = 32),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_token_by_user ON api_token (user, created_at, id) WHERE revoked_at IS NULL;

CREATE TABLE passkey (
    credential   BLOB    NOT NULL PRIMARY KEY CHECK (length(credential) BETWEEN 1 AND 1023),
    user         TEXT    NOT NULL REFERENCES user (id),
    name         TEXT    NOT NULL,
    -- The number COSE has for it.
    algorithm    INTEGER NOT NULL,
    public_key   BLOB    NOT NULL,
    counter      INTEGER NOT NULL CHECK (counter >= 0),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX passkey_by_user ON passkey (user, created_at, credential);

-- What was taken back and has not ended by itself: kept until it has.
CREATE TABLE revocation (
    kind  TEXT    NOT NULL CHECK (kind IN ('sid', 'jti')),
    id    TEXT    NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocation_by_end ON revocation (until);

-- What takes effect on open connections counts as a change of the directory.
CREATE TRIGGER revocation_inserted AFTER INSERT ON revocation
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER revocation_updated AFTER UPDATE ON revocation
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER api_token_revoked AFTER UPDATE OF revoked_at ON api_token
BEGIN UPDATE directory_version SET version = version + 1; END;
