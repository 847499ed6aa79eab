-- What people call their passkeys is sealed. Nobody could register one before: nothing is lost.
DROP TABLE passkey;

CREATE TABLE passkey (
    credential   BLOB    NOT NULL PRIMARY KEY CHECK (length(credential) BETWEEN 1 AND 1023),
    user         TEXT    NOT NULL REFERENCES user (id),
    name         BLOB    NOT NULL,
    -- The number COSE has for it.
    algorithm    INTEGER NOT NULL,
    public_key   BLOB    NOT NULL,
    counter      INTEGER NOT NULL CHECK (counter >= 0),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX passkey_by_user ON passkey (user, created_at, credential);
