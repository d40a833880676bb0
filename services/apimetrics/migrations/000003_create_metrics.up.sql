BEGIN;

CREATE TABLE latency_buckets (
    bucket  integer PRIMARY KEY,
    from_us bigint  NOT NULL,
    to_us   bigint  CHECK (to_us > from_us)
);

COMMENT ON TABLE  latency_buckets IS 'The buckets of metrics.latency_histogram; the same in every database, written by a migration alone.';
COMMENT ON COLUMN latency_buckets.bucket IS 'Place of the bucket in the array, from 1.';
COMMENT ON COLUMN latency_buckets.from_us IS 'Shortest duration in the bucket, in microseconds.';
COMMENT ON COLUMN latency_buckets.to_us IS 'Durations in the bucket are shorter than this, in microseconds; NULL in the last bucket.';

INSERT INTO latency_buckets (bucket, from_us, to_us)
SELECT row_number() OVER (ORDER BY bound), bound, lead(bound) OVER (ORDER BY bound)
  FROM (SELECT 0 AS bound
        UNION ALL
        SELECT digit * 10 ^ decade FROM unnest(ARRAY[10, 15, 20, 30, 50, 70]) AS digit, generate_series(1, 6) AS decade
         WHERE digit * 10 ^ decade <= 30000000) AS bounds;

CREATE TABLE metrics (
    service           text        NOT NULL,
    route             text        NOT NULL,
    method            text        NOT NULL,
    minute            timestamptz NOT NULL CHECK (minute = date_bin('1 minute', minute, '2000-01-01 00:00Z')),
    count             bigint      NOT NULL CHECK (count > 0),
    errors            bigint      NOT NULL CHECK (errors >= 0),
    client_errors     bigint      NOT NULL CHECK (client_errors >= 0),
    duration_us_sum   bigint      NOT NULL CHECK (duration_us_sum >= 0),
    latency_histogram bigint[]    NOT NULL CHECK (cardinality(latency_histogram) = 35),
    PRIMARY KEY (service, route, method, minute),
    CHECK (errors + client_errors <= count)
);

COMMENT ON TABLE  metrics IS 'api_logs added up: one row per service, route, method and minute in which something was served. Equal to api_logs at every commit.';
COMMENT ON COLUMN metrics.service IS 'The API that served, such as sales-api.';
COMMENT ON COLUMN metrics.route IS 'Template of the path, or (unmatched).';
COMMENT ON COLUMN metrics.method IS 'HTTP method, or OTHER.';
COMMENT ON COLUMN metrics.minute IS 'Beginning of the minute.';
COMMENT ON COLUMN metrics.count IS 'Number of requests.';
COMMENT ON COLUMN metrics.errors IS 'Number of requests with status 500 and above.';
COMMENT ON COLUMN metrics.client_errors IS 'Number of requests with status 400 to 499.';
COMMENT ON COLUMN metrics.duration_us_sum IS 'Sum of the durations, in microseconds.';
COMMENT ON COLUMN metrics.latency_histogram IS 'Number of requests by duration; the buckets stand in latency_buckets.';

CREATE INDEX metrics_minute_idx ON metrics (minute);

GRANT SELECT ON metrics, latency_buckets TO apimetrics_app, trino_ro, grafana_ro, notebook_ro;
GRANT INSERT, UPDATE (count, errors, client_errors, duration_us_sum, latency_histogram) ON metrics TO apimetrics_app;

COMMIT;
