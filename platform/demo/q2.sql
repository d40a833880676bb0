-- The query of the seed's document, as it stands there.
SELECT
  s.customer_name,
  m.campaign_name,
  SUM(s.revenue)
FROM sales.public.customers s
JOIN marketing.public.leads m
  ON s.email = m.email
GROUP BY 1, 2
