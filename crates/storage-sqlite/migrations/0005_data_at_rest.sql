-- What people wrote is sealed: with a key for each user, which is wrapped by a key that lies apart from the database.

-- The keys that wrap, as far as the database may know them: a value by which each is known again.
CREATE TABLE ring_key (
    id          TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 32),
    check_value BLOB    NOT NULL,
    active      INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ring_key_active ON ring_key (active) WHERE active = 1;

CREATE TABLE data_key (
    user     INTEGER NOT NULL PRIMARY KEY REFERENCES user (key),
    version  INTEGER NOT NULL CHECK (version >= 1),
    ring_key TEXT    NOT NULL REFERENCES ring_key (id),
    wrapped  BLOB    NOT NULL
) STRICT;

CREATE INDEX data_key_by_ring_key ON data_key (ring_key);

-- What measured, in words: sealed, once for each patient and text. Measurements and events name its key.
CREATE TABLE device (
    key     INTEGER NOT NULL PRIMARY KEY,
    patient INTEGER NOT NULL REFERENCES user (key),
    name    BLOB    NOT NULL
) STRICT;

CREATE INDEX device_by_patient ON device (patient, key);

ALTER TABLE measurement RENAME COLUMN device TO plain_device;
ALTER TABLE measurement ADD COLUMN device INTEGER;
-- The payload is without its device, which is put back when it is read.
ALTER TABLE event ADD COLUMN device INTEGER;

-- Names wait here until the program has sealed them, before it serves for the first time.
CREATE TABLE plain_name (
    user INTEGER NOT NULL PRIMARY KEY REFERENCES user (key),
    name TEXT    NOT NULL
) STRICT;

INSERT INTO plain_name (user, name) SELECT key, name FROM user;
ALTER TABLE user DROP COLUMN name;
ALTER TABLE user ADD COLUMN name BLOB;
-- An erased patient's id is never given out again.
ALTER TABLE user ADD COLUMN erased_at INTEGER;

-- Whether nothing is left in plain text: names, and the devices of measurements.
CREATE TABLE sealing (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    done     INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

INSERT INTO sealing (only_row, done) VALUES (1, 0);
