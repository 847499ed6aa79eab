-- What users are told, and patients who were opened in an emergency.

INSERT INTO event_kind (key, name) VALUES (2, 'notification');

-- Its key is the order of a user's notifications, so that a page is one run of neighbours.
CREATE TABLE notification (
    user       TEXT    NOT NULL REFERENCES user (id),
    offset     INTEGER NOT NULL CHECK (offset >= 1),
    id         TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    priority   TEXT    NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    patient    TEXT    REFERENCES user (id),
    -- The JSON of the data of its event, sealed. The log has the place of the event, and leaves its data to this.
    text       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    seen_at    INTEGER,
    PRIMARY KEY (user, offset)
) STRICT, WITHOUT ROWID;

CREATE INDEX notification_unseen ON notification (user) WHERE seen_at IS NULL;

CREATE TABLE break_glass (
    id           TEXT    NOT NULL PRIMARY KEY,
    patient      TEXT    NOT NULL REFERENCES user (id),
    member       TEXT    NOT NULL REFERENCES user (id),
    starts_at    INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL CHECK (ends_at >= starts_at),
    -- Why, as the member wrote it, sealed.
    reason       BLOB    NOT NULL,
    -- Whether its end is in the audit trail.
    end_recorded INTEGER NOT NULL DEFAULT 0 CHECK (end_recorded IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE INDEX break_glass_by_patient ON break_glass (patient, starts_at, id);
CREATE INDEX break_glass_between ON break_glass (patient, member, ends_at, id);
CREATE INDEX break_glass_by_start ON break_glass (member, starts_at);
CREATE INDEX break_glass_by_end ON break_glass (member, ends_at);
CREATE INDEX break_glass_unrecorded ON break_glass (ends_at, id) WHERE end_recorded = 0;

-- What takes effect on open connections counts as a change of the directory; that an end is on record does not.
CREATE TRIGGER break_glass_inserted AFTER INSERT ON break_glass
BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER break_glass_updated AFTER UPDATE OF ends_at ON break_glass
BEGIN UPDATE directory_version SET version = version + 1; END;
