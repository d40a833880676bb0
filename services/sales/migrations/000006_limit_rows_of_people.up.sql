BEGIN;

-- People who connect directly, each as a role of their own in notebook_ro, see
-- the rows of their regions: rows_all, or rows_emea and so on, which the
-- bootstrap makes them a member of. In whose name they logged in counts: a SET
-- ROLE changes nothing. A member of none sees no row. The owner bypasses the policies; the
-- service, Trino and Grafana see all rows. COPY to a table works for its owner only.
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;

CREATE POLICY all_rows ON customers TO sales_app, trino_ro, grafana_ro USING (true) WITH CHECK (true);
CREATE POLICY all_rows ON orders TO sales_app, trino_ro, grafana_ro USING (true) WITH CHECK (true);

CREATE POLICY all_regions ON customers FOR SELECT TO notebook_ro
    USING (session_user = 'notebook_ro' OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rows_all' AND pg_has_role(session_user, oid, 'MEMBER')));
CREATE POLICY own_regions ON customers FOR SELECT TO notebook_ro
    USING (region IN (SELECT upper(substr(rolname, 6)) FROM pg_roles WHERE rolname LIKE 'rows\_%' AND pg_has_role(session_user, oid, 'MEMBER')));
-- The customers are those that the person sees.
CREATE POLICY own_customers ON orders FOR SELECT TO notebook_ro
    USING (customer_id IN (SELECT customer_id FROM customers));

COMMIT;
