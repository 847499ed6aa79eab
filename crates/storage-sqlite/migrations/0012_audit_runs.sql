-- Records are filed in runs: some thousands, by patient, behind all that were filed before. In one order for all of them, a
-- run wrote a page of its own for nearly each record as soon as there were many patients.
CREATE TABLE audit_run (
    -- The last record that was filed with this run; its first one comes after the last of the run before.
    upto INTEGER NOT NULL PRIMARY KEY CHECK (upto >= 1)
) STRICT;

CREATE TABLE audit_in_run (
    -- The run's `upto`.
    run     INTEGER NOT NULL,
    patient TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (run, patient, seq)
) STRICT, WITHOUT ROWID;

-- What is filed already is the first run.
INSERT INTO audit_run (upto) SELECT upto FROM audit_filed WHERE upto > 0;
INSERT INTO audit_in_run (run, patient, seq)
    SELECT upto, patient, seq FROM audit_filed CROSS JOIN audit_of_patient ORDER BY patient, seq;

DROP TABLE audit_of_patient;
DROP TABLE audit_filed;

CREATE TRIGGER audit_run_never_updated BEFORE UPDATE ON audit_run
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_run_never_deleted BEFORE DELETE ON audit_run
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_in_run_never_updated BEFORE UPDATE ON audit_in_run
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_in_run_never_deleted BEFORE DELETE ON audit_in_run
BEGIN SELECT raise(ABORT, 'the audit trail is only appended to'); END;
