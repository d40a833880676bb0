BEGIN;

REVOKE SELECT ON schema_migrations FROM apimetrics_app;

COMMIT;
