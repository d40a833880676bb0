BEGIN;

REVOKE SELECT ON schema_migrations FROM marketing_app;

COMMIT;
