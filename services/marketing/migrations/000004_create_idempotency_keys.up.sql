BEGIN;

CREATE TABLE idempotency_keys (
    caller       text        NOT NULL,
    key          text        NOT NULL,
    request_hash bytea       NOT NULL,
    result       jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);

COMMENT ON TABLE  idempotency_keys IS 'What was answered to requests that callers may repeat; a row lives for 24 hours.';
COMMENT ON COLUMN idempotency_keys.caller IS 'Name of the API key.';
COMMENT ON COLUMN idempotency_keys.key IS 'The Idempotency-Key header.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'SHA-256 of method, path and body: the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.result IS 'The resource that the first request made; may hold personal data.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the first request was carried out.';

CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

GRANT SELECT, INSERT, DELETE, UPDATE (request_hash, result, created_at) ON idempotency_keys TO marketing_app;

COMMIT;
