-- Signed places of the audit trail. The same place may be signed again.
CREATE TABLE audit_checkpoint (
    id        INTEGER NOT NULL PRIMARY KEY,
    seq       INTEGER NOT NULL CHECK (seq >= 1),
    link      TEXT    NOT NULL CHECK (length(link) = 64),
    at        INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    signature TEXT    NOT NULL
) STRICT;

CREATE TRIGGER audit_checkpoint_never_updated BEFORE UPDATE ON audit_checkpoint
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_checkpoint_never_deleted BEFORE DELETE ON audit_checkpoint
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
