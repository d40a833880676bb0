BEGIN;

-- The service is not ready with another version than it was built for.
GRANT SELECT ON schema_migrations TO apimetrics_app;

COMMIT;
