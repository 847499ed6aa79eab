-- The records of each patient. They are filed some thousands at a time, sorted: in an index, each would write a page of its
-- own.
DROP INDEX audit_by_patient;

CREATE TABLE audit_of_patient (
    patient TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (patient, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_filed (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    -- The last record that is filed.
    upto     INTEGER NOT NULL CHECK (upto >= 0)
) STRICT;

INSERT INTO audit_filed (only_row, upto) VALUES (1, 0);

CREATE TRIGGER audit_of_patient_never_updated BEFORE UPDATE ON audit_of_patient
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_of_patient_never_deleted BEFORE DELETE ON audit_of_patient
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
