BEGIN;

DROP FUNCTION make_api_logs_partitions, make_api_logs_partition;
DROP TABLE api_logs;
DROP SCHEMA api_logs_partitions;

COMMIT;
