BEGIN;

REVOKE SELECT ON schema_migrations FROM sales_app;

COMMIT;
