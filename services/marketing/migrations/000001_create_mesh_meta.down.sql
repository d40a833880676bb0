BEGIN;

DROP TABLE mesh_meta;
REVOKE USAGE ON SCHEMA public FROM marketing_app, trino_ro, grafana_ro, notebook_ro;

COMMIT;
