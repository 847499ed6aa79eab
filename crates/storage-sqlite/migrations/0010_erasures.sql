-- How often somebody was erased: whoever reads what is sealed looks before and after.
ALTER TABLE directory_version ADD COLUMN erasures INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER user_erased AFTER UPDATE OF erased_at ON user WHEN new.erased_at IS NOT NULL
BEGIN UPDATE directory_version SET erasures = erasures + 1; END;
