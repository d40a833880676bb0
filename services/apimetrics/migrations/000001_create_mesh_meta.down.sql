BEGIN;

DROP TABLE mesh_meta;
REVOKE USAGE ON SCHEMA public FROM apimetrics_app, trino_ro, grafana_ro, notebook_ro;

COMMIT;
