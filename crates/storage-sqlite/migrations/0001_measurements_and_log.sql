-- Times are microseconds since 1970 in UTC; keys are integers that never leave this database.

CREATE TABLE meta (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    -- Names the incarnation of the store.
    epoch    TEXT    NOT NULL CHECK (length(epoch) BETWEEN 1 AND 32),
    -- Counts the readiness probes: a commit of no consequence.
    probes   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Filled and emptied again to learn whether a full disk has room again; otherwise empty.
CREATE TABLE room (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    filler   BLOB    NOT NULL
) STRICT;

CREATE TABLE user (
    key       INTEGER NOT NULL PRIMARY KEY,
    id        TEXT    NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 64),
    role      TEXT    NOT NULL CHECK (role IN ('patient', 'caregiver', 'nurse', 'doctor', 'admin', 'device')),
    name      TEXT    NOT NULL,
    device_of TEXT    REFERENCES user (id),
    active    INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    CHECK ((role = 'device') = (device_of IS NOT NULL))
) STRICT;

CREATE INDEX user_by_patient ON user (device_of) WHERE device_of IS NOT NULL;

CREATE TABLE care_relation (
    patient   TEXT    NOT NULL REFERENCES user (id),
    member    TEXT    NOT NULL REFERENCES user (id),
    starts_at INTEGER NOT NULL,
    ends_at   INTEGER,
    PRIMARY KEY (patient, member)
) STRICT, WITHOUT ROWID;

CREATE INDEX care_relation_by_member ON care_relation (member, patient);

-- Grows with every change of a user or a care relation. Triggers count, so that no writer can forget to, and every
-- process that has the file open sees what another one changed.
CREATE TABLE directory_version (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    version  INTEGER NOT NULL
) STRICT;

INSERT INTO directory_version (only_row, version) VALUES (1, 0);

CREATE TRIGGER user_inserted AFTER INSERT ON user
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER user_updated AFTER UPDATE ON user
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER user_deleted AFTER DELETE ON user
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER care_relation_inserted AFTER INSERT ON care_relation
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER care_relation_updated AFTER UPDATE ON care_relation
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER care_relation_deleted AFTER DELETE ON care_relation
BEGIN UPDATE directory_version SET version = version + 1; END;

CREATE TABLE topic (
    key       INTEGER NOT NULL PRIMARY KEY,
    -- kind:id, as on the wire.
    name      TEXT    NOT NULL UNIQUE,
    head      INTEGER NOT NULL DEFAULT 0 CHECK (head >= 0),
    -- The oldest offset kept; head + 1 if none is.
    oldest    INTEGER NOT NULL DEFAULT 1 CHECK (oldest BETWEEN 1 AND head + 1),
    -- When the oldest event kept was stored.
    oldest_at INTEGER,
    CHECK ((oldest_at IS NULL) = (oldest = head + 1))
) STRICT;

-- Retention looks for the topics that have something to forget.
CREATE INDEX topic_by_age ON topic (oldest_at) WHERE oldest_at IS NOT NULL;

CREATE TABLE event_kind (
    key  INTEGER NOT NULL PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

INSERT INTO event_kind (key, name) VALUES (1, 'health_update');

CREATE TABLE event (
    topic       INTEGER NOT NULL REFERENCES topic (key),
    offset      INTEGER NOT NULL CHECK (offset >= 1),
    kind        INTEGER NOT NULL REFERENCES event_kind (key),
    recorded_at INTEGER NOT NULL,
    -- The JSON of its data.
    payload     TEXT    NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric (
    key  INTEGER NOT NULL PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

INSERT INTO metric (key, name) VALUES
    (1, 'heart_rate'),
    (2, 'respiratory_rate'),
    (3, 'oxygen_saturation'),
    (4, 'body_temperature'),
    (5, 'systolic_blood_pressure'),
    (6, 'diastolic_blood_pressure'),
    (7, 'glucose'),
    (8, 'body_weight'),
    (9, 'body_height'),
    (10, 'steps');

-- Its key is the order of a patient's history, so that a page is one run of neighbours.
CREATE TABLE measurement (
    patient        INTEGER NOT NULL REFERENCES user (key),
    taken_at       INTEGER NOT NULL,
    offset         INTEGER NOT NULL CHECK (offset >= 1),
    metric         INTEGER NOT NULL REFERENCES metric (key),
    value          REAL    NOT NULL,
    recorded_at    INTEGER NOT NULL,
    author         INTEGER NOT NULL REFERENCES user (key),
    client_id      TEXT,
    device         TEXT,
    original_value REAL,
    original_unit  TEXT,
    PRIMARY KEY (patient, taken_at, offset),
    CHECK ((original_value IS NULL) = (original_unit IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX measurement_by_metric ON measurement (patient, metric, taken_at, offset);

-- An author's name for a measurement of a patient is stored once.
CREATE UNIQUE INDEX measurement_by_name ON measurement (patient, author, client_id) WHERE client_id IS NOT NULL;

CREATE TABLE idempotency (
    id         INTEGER NOT NULL PRIMARY KEY,
    author     INTEGER NOT NULL REFERENCES user (key),
    key        TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    first_used INTEGER NOT NULL,
    -- The first answer: the JSON of the receipts.
    receipts   TEXT    NOT NULL,
    UNIQUE (author, key)
) STRICT;

CREATE INDEX idempotency_by_age ON idempotency (first_used);
