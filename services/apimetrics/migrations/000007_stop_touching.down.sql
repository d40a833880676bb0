BEGIN;

COMMENT ON COLUMN mesh_meta.touched IS 'True since the first batch through the API: the logs are no longer the seeded ones alone.';
GRANT UPDATE (touched) ON mesh_meta TO apimetrics_app;

COMMIT;
