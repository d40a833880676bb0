BEGIN;

SET LOCAL lock_timeout = '5s';

-- Every request of every API paid for the index with a tenth of the cost of its
-- row, and nothing needs it: dashboards read metrics, pages of logs come by
-- log_id, the export and the models read whole days, which are partitions.
-- Not CONCURRENTLY: PostgreSQL cannot for a partitioned table, and dropping takes no time.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX api_logs_served_at_idx;

COMMIT;
