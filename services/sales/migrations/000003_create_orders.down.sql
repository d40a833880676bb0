BEGIN;

DROP TABLE orders;
DROP FUNCTION orders_inserted, orders_deleted, orders_updated, orders_truncated, add_to_revenue;

COMMIT;
