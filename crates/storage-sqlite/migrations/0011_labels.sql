-- What people call their sign-ins and API tokens is sealed, too.

-- They wait here until the program has sealed them, before it serves for the first time.
CREATE TABLE plain_label (
    sign_in TEXT NOT NULL PRIMARY KEY REFERENCES sign_in (id),
    label   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plain_token_name (
    api_token TEXT NOT NULL PRIMARY KEY REFERENCES api_token (id),
    name      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO plain_label (sign_in, label) SELECT id, label FROM sign_in WHERE label IS NOT NULL;
INSERT INTO plain_token_name (api_token, name) SELECT id, name FROM api_token;
ALTER TABLE sign_in DROP COLUMN label;
ALTER TABLE sign_in ADD COLUMN label BLOB;
ALTER TABLE api_token DROP COLUMN name;
ALTER TABLE api_token ADD COLUMN name BLOB;

UPDATE sealing SET done = 0
    WHERE EXISTS (SELECT 1 FROM plain_label) OR EXISTS (SELECT 1 FROM plain_token_name);
