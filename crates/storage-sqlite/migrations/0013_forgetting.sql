-- API tokens are forgotten some time after they ended: by whichever came first, their own end or their being taken back.
ALTER TABLE api_token ADD COLUMN ended_at INTEGER
    AS (min(coalesce(revoked_at, expires_at), coalesce(expires_at, revoked_at))) VIRTUAL;

CREATE INDEX api_token_by_end ON api_token (ended_at) WHERE ended_at IS NOT NULL;

-- Erasing a user looks for what has ended, too, and for what others were told about a patient.
DROP INDEX sign_in_by_user;
CREATE INDEX sign_in_by_user ON sign_in (user, created_at, id);
DROP INDEX api_token_by_user;
CREATE INDEX api_token_by_user ON api_token (user, created_at, id);
CREATE INDEX notification_by_patient ON notification (patient) WHERE patient IS NOT NULL;
