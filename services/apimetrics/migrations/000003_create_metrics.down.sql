BEGIN;

DROP TABLE metrics;
DROP TABLE latency_buckets;

COMMIT;
