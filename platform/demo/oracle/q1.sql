-- PostgreSQL reads both domains itself (postgres_fdw); every column as text.
SELECT
  c.customer_id::text,
  c.email,
  c.segment,
  c.revenue::text,
  l.lead_id::text,
  l.campaign_name,
  to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC'
FROM marketing.leads l, sales.customers c
WHERE c.email = l.email
