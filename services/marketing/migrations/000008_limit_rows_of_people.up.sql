BEGIN;

-- People who connect directly, each as a role of their own in notebook_ro, see
-- leads when they see the customers of all regions (rows_all, which the
-- bootstrap makes them a member of). A lead has no region, and whether it is a customer
-- elsewhere is known to sales only: Trino, which joins both, shows people of
-- one region theirs. In whose name they logged in counts: a SET ROLE changes nothing.
-- The owner bypasses the policies; the service, Trino and Grafana see all rows.
ALTER TABLE leads ENABLE ROW LEVEL SECURITY;

CREATE POLICY all_rows ON leads TO marketing_app, trino_ro, grafana_ro USING (true) WITH CHECK (true);
CREATE POLICY all_regions ON leads FOR SELECT TO notebook_ro
    USING (session_user = 'notebook_ro' OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rows_all' AND pg_has_role(session_user, oid, 'MEMBER')));

COMMIT;
