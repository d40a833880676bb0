BEGIN;

CREATE TABLE idempotency_keys (
    caller       text        NOT NULL,
    key          text        NOT NULL,
    request_hash bytea       NOT NULL,
    result       jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);

COMMENT ON TABLE  idempotency_keys IS 'Batches of request logs that were stored, so that one that is sent again is not; a row lives for 24 hours.';
COMMENT ON COLUMN idempotency_keys.caller IS 'Name of the API key.';
COMMENT ON COLUMN idempotency_keys.key IS 'The Idempotency-Key header: the id of the batch.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'SHA-256 of method, path and body: the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.result IS 'Number of entries stored.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the batch was stored.';

CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

GRANT SELECT, INSERT, DELETE, UPDATE (request_hash, result, created_at) ON idempotency_keys TO apimetrics_app;

COMMIT;
