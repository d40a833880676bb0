BEGIN;

SET LOCAL lock_timeout = '5s';

-- SECURITY DEFINER because the service does not own the tables. One partition a
-- call, so that the lock on api_logs, which stops readers and writers, is held
-- for a moment; who keeps it waiting for a second makes it fail, and the service
-- tries again later.
--
-- The days before as_of stay, whenever that was: dashboards count back from it.
CREATE FUNCTION drop_old_api_logs(keep_days integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    today     date := (now() AT TIME ZONE 'UTC')::date;
    seeded    date := coalesce((SELECT as_of FROM mesh_meta), today);
    partition text;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %, the least is 1', keep_days;
    END IF;
    SELECT relname INTO partition
      FROM (SELECT relname, to_date(substr(relname, 5), 'YYYYMMDD') AS day
              FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = 'public.api_logs'::regclass AND relname ~ '^day_\d{8}$') AS days
     WHERE day < today - keep_days AND day NOT BETWEEN seeded - keep_days AND seeded
     ORDER BY day LIMIT 1;
    IF partition IS NOT NULL THEN
        EXECUTE format('DROP TABLE api_logs_partitions.%I', partition);
        RETURN partition;
    END IF;
    DELETE FROM api_logs_partitions.other
     WHERE served_at < (today - keep_days)::timestamp AT TIME ZONE 'UTC'
       AND NOT (served_at >= (seeded - keep_days)::timestamp AT TIME ZONE 'UTC' AND served_at < (seeded + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION drop_old_api_logs IS 'Drops the oldest partition of api_logs that is older than keep_days, today and as_of not counted, and gives its name; NULL when there is none. For the service.';
REVOKE EXECUTE ON FUNCTION drop_old_api_logs FROM PUBLIC;

CREATE FUNCTION delete_old_metrics(keep_days integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    today   date := (now() AT TIME ZONE 'UTC')::date;
    seeded  date := coalesce((SELECT as_of FROM mesh_meta), today);
    deleted bigint;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days is %, the least is 1', keep_days;
    END IF;
    DELETE FROM metrics
     WHERE ctid IN (SELECT ctid FROM metrics
                     WHERE minute < (least(today, seeded) - keep_days)::timestamp AT TIME ZONE 'UTC'
                     ORDER BY minute LIMIT 10000);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;
COMMENT ON FUNCTION delete_old_metrics IS 'Deletes up to 10,000 metrics older than keep_days before today and as_of, and gives their number. For the service.';
REVOKE EXECUTE ON FUNCTION delete_old_metrics FROM PUBLIC;

GRANT EXECUTE ON FUNCTION drop_old_api_logs, delete_old_metrics TO apimetrics_app;

COMMENT ON TABLE metrics IS 'api_logs added up: one row per service, route, method and minute in which something was served. Equal to api_logs at every commit, and kept longer.';

COMMIT;
