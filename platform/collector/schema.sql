-- Figures of the platform. Made anew where it is missing, never changed in
-- place: a column that comes later is added by a statement of its own.
CREATE TABLE IF NOT EXISTS ops.components (
  at        timestamptz NOT NULL,
  component text        NOT NULL,
  up        boolean     NOT NULL,
  seconds   float8      NOT NULL, -- that the answer took
  message   text        NOT NULL, -- why it is not up
  PRIMARY KEY (at, component)
);
CREATE TABLE IF NOT EXISTS ops.databases (
  at          timestamptz NOT NULL,
  server      text        NOT NULL,
  database    text        NOT NULL,
  bytes       bigint      NOT NULL,
  limit_bytes bigint      NOT NULL, -- of the volume
  PRIMARY KEY (at, server, database)
);
CREATE TABLE IF NOT EXISTS ops.trino (
  at              timestamptz PRIMARY KEY,
  running         bigint NOT NULL,
  queued          bigint NOT NULL,
  finished        bigint NOT NULL, -- since the figures before
  failed          bigint NOT NULL,
  median_seconds  float8,          -- of those that ended; empty without any
  slowest_seconds float8
);
CREATE TABLE IF NOT EXISTS ops.lake (
  at         timestamptz NOT NULL,
  table_name text        NOT NULL, -- schema.table
  files      bigint      NOT NULL,
  bytes      bigint      NOT NULL,
  rows       bigint      NOT NULL,
  PRIMARY KEY (at, table_name)
);
CREATE TABLE IF NOT EXISTS ops.dbt_results (
  ended_at      timestamptz NOT NULL,
  invocation_id text        NOT NULL,
  node          text        NOT NULL, -- unique_id: model.datameesh.mart_sales_daily
  kind          text        NOT NULL, -- model, test, unit_test …
  status        text        NOT NULL, -- success, pass, warn, fail, error, skipped
  seconds       float8      NOT NULL,
  failures      bigint      NOT NULL,
  PRIMARY KEY (invocation_id, node)
);
CREATE INDEX IF NOT EXISTS dbt_results_ended ON ops.dbt_results (ended_at);
