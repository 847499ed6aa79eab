-- What a member is to the patient, what the member was let in to, and by whom. Members of before were let in to all of
-- the patient's data, and none of them manages the care team.
ALTER TABLE care_relation ADD COLUMN relation TEXT NOT NULL DEFAULT 'other' CHECK (relation IN
    ('family', 'friend', 'caregiver', 'nurse', 'general_practitioner', 'specialist', 'therapist', 'other'));
-- A bit for each scope: 1 vitals, 2 alerts, 4 chat, 8 medications, 16 symptoms, 32 records, 64 manage.
ALTER TABLE care_relation ADD COLUMN scopes INTEGER NOT NULL DEFAULT 63 CHECK (scopes BETWEEN 0 AND 127);
-- NULL where it was no user: the command line, the server, or before this was kept.
ALTER TABLE care_relation ADD COLUMN granted_by TEXT REFERENCES user (id);
