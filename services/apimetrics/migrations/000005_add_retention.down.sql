BEGIN;

SET LOCAL lock_timeout = '5s';

DROP FUNCTION drop_old_api_logs, delete_old_metrics;

COMMENT ON TABLE metrics IS 'api_logs added up: one row per service, route, method and minute in which something was served. Equal to api_logs at every commit.';

COMMIT;
