BEGIN;

-- A request log is nobody's change of the data: every request has one.
REVOKE UPDATE (touched) ON mesh_meta FROM apimetrics_app;
COMMENT ON COLUMN mesh_meta.touched IS 'Always false: the logger stores what was served and changes nothing that was seeded.';

COMMIT;
