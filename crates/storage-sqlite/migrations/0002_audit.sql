-- The audit trail: appended to, and never changed. Each link covers its record and the link before.
CREATE TABLE audit (
    seq         INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
    at          INTEGER NOT NULL,
    actor       TEXT    NOT NULL,
    user        TEXT,
    role        TEXT,
    address     TEXT,
    break_glass TEXT,
    action      TEXT    NOT NULL,
    object      TEXT,
    patient     TEXT,
    reason      TEXT,
    outcome     TEXT    NOT NULL,
    link        BLOB    NOT NULL CHECK (length(link) = 32),
    -- With OR: for IN, SQLite fills a table of its own for each row that comes.
    CHECK (actor = 'user' OR actor = 'anonymous' OR actor = 'server' OR actor = 'command_line'),
    CHECK (outcome = 'success' OR outcome = 'denied' OR outcome = 'failed'),
    CHECK ((actor = 'user') = (user IS NOT NULL) AND (user IS NULL) = (role IS NULL))
) STRICT;

-- Who saw a patient's data.
CREATE INDEX audit_by_patient ON audit (patient, seq) WHERE patient IS NOT NULL;

CREATE TRIGGER audit_never_updated BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_never_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
