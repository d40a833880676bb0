BEGIN;

CREATE TABLE mesh_meta (
    id                boolean     PRIMARY KEY DEFAULT true CHECK (id),
    as_of             date        NOT NULL,
    seed              bigint      NOT NULL,
    scale             text        NOT NULL,
    row_counts        jsonb       NOT NULL,
    state             text        NOT NULL CHECK (state IN ('seeding', 'seeded')),
    transactions_done integer     NOT NULL DEFAULT 0,
    touched           boolean     NOT NULL DEFAULT false,
    seeded_at         timestamptz
);

COMMENT ON TABLE  mesh_meta IS 'What the database was seeded with; one row, none before the first seeding.';
COMMENT ON COLUMN mesh_meta.id IS 'Always true: there is one row.';
COMMENT ON COLUMN mesh_meta.as_of IS 'All seeded data lies before midnight UTC of this day; relative windows count back from it.';
COMMENT ON COLUMN mesh_meta.seed IS 'The seed of the random numbers; the same seed gives the same rows.';
COMMENT ON COLUMN mesh_meta.scale IS 'small, demo or load.';
COMMENT ON COLUMN mesh_meta.row_counts IS 'Rows per table that the seeding was asked for.';
COMMENT ON COLUMN mesh_meta.state IS 'seeding while a seeding is not complete, then seeded.';
COMMENT ON COLUMN mesh_meta.transactions_done IS 'Where an interrupted seeding goes on.';
COMMENT ON COLUMN mesh_meta.touched IS 'True since the first write through the API: the golden figures no longer hold.';
COMMENT ON COLUMN mesh_meta.seeded_at IS 'When the seeding was complete.';

GRANT USAGE ON SCHEMA public TO marketing_app, trino_ro, grafana_ro, notebook_ro;
GRANT SELECT ON mesh_meta TO marketing_app, trino_ro, grafana_ro, notebook_ro;
GRANT UPDATE (touched) ON mesh_meta TO marketing_app;

COMMIT;
