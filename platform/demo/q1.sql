-- Customers who are leads under exactly the same e-mail address.
SELECT
  s.customer_id,
  s.email,
  s.segment,
  s.revenue,
  m.lead_id,
  m.campaign_name,
  m.created_at
FROM sales.public.customers s
JOIN marketing.public.leads m
  ON s.email = m.email
