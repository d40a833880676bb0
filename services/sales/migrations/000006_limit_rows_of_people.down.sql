BEGIN;

DROP POLICY own_customers ON orders;
DROP POLICY own_regions ON customers;
DROP POLICY all_regions ON customers;
DROP POLICY all_rows ON orders;
DROP POLICY all_rows ON customers;

ALTER TABLE orders DISABLE ROW LEVEL SECURITY;
ALTER TABLE customers DISABLE ROW LEVEL SECURITY;

COMMIT;
