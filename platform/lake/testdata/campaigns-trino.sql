-- Live from the domains' databases.
WITH lead AS (
  SELECT lead_id, campaign_id, status, created_at, lower(trim(email)) AS email FROM marketing.public.leads
),
paid AS (
  SELECT o.order_id, o.customer_id, o.total_amount, o.ordered_at, lower(trim(c.email)) AS email
  FROM sales.public.orders o JOIN sales.public.customers c ON c.customer_id = o.customer_id
  WHERE o.status = 'paid'
),
attributed AS (
  SELECT p.order_id, p.customer_id, p.total_amount, p.ordered_at, max_by(l.lead_id, ROW(l.created_at, l.lead_id)) AS lead_id
  FROM paid p
  LEFT JOIN lead l ON l.email = p.email AND l.created_at BETWEEN p.ordered_at - INTERVAL '90' DAY AND p.ordered_at
  GROUP BY 1, 2, 3, 4
)
SELECT
  c.campaign_id,
  (SELECT count(*) FROM lead l WHERE l.campaign_id = c.campaign_id),
  CAST(CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead l WHERE l.campaign_id = c.campaign_id) AS decimal(18, 6)) AS varchar),
  (SELECT count(*) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id),
  CAST(CAST((SELECT coalesce(sum(a.total_amount), 0) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id) AS decimal(14, 2)) AS varchar),
  CAST(CAST((SELECT CAST(coalesce(sum(a.total_amount), 0) AS decimal(30, 12)) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id) / nullif(c.spend, 0) - 1 AS decimal(18, 6)) AS varchar)
FROM marketing.public.campaigns c
ORDER BY 1
