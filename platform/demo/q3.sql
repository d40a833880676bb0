-- The same join by segment and campaign.
SELECT
  s.segment,
  m.campaign_name,
  COUNT(*) AS leads,
  COUNT(DISTINCT s.customer_id) AS customers,
  SUM(s.revenue) AS revenue
FROM sales.public.customers s
JOIN marketing.public.leads m
  ON s.email = m.email
GROUP BY 1, 2
