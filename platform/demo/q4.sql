-- Customers of the year before as_of who are leads, whatever the spelling of the e-mail address.
SELECT
  s.customer_id,
  lower(trim(s.email)) AS email,
  s.revenue,
  m.lead_id,
  m.campaign_name
FROM sales.public.customers s
JOIN marketing.public.leads m
  ON lower(trim(s.email)) = lower(trim(m.email))
WHERE s.created_at >= (SELECT CAST(as_of - INTERVAL '1' YEAR AS timestamp(6) with time zone) FROM sales.public.mesh_meta)
