-- btrim alone takes blanks only; what Trino calls trim takes these too.
SELECT c.customer_id::text, lower(btrim(c.email, E' \t\n\r\f\x0b')), c.revenue::text, l.lead_id::text, l.campaign_name
FROM marketing.leads l, sales.customers c, sales.mesh_meta meta
WHERE lower(btrim(c.email, E' \t\n\r\f\x0b')) = lower(btrim(l.email, E' \t\n\r\f\x0b'))
  AND c.created_at >= (meta.as_of - INTERVAL '1 year') AT TIME ZONE 'UTC'
