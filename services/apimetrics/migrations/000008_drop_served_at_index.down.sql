BEGIN;

SET LOCAL lock_timeout = '5s';

CREATE INDEX api_logs_served_at_idx ON api_logs USING brin (served_at) WITH (autosummarize = on);

COMMIT;
