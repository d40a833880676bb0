-- The slow, obvious way, by PostgreSQL alone (postgres_fdw): for each paid order, look for its lead.
WITH lead AS MATERIALIZED (
  SELECT lead_id, campaign_id, status, created_at, lower(btrim(email, E' \t\n\r\f\x0b')) AS email FROM marketing.leads
),
paid AS MATERIALIZED (
  SELECT o.order_id, o.customer_id, o.total_amount, o.ordered_at, lower(btrim(c.email, E' \t\n\r\f\x0b')) AS email
  FROM sales.orders o JOIN sales.customers c ON c.customer_id = o.customer_id
  WHERE o.status = 'paid'
),
attributed AS MATERIALIZED (
  SELECT p.*, (
    SELECT l.lead_id FROM lead l
    WHERE l.email = p.email AND l.created_at BETWEEN p.ordered_at - INTERVAL '90' DAY AND p.ordered_at
    ORDER BY l.created_at DESC, l.lead_id DESC LIMIT 1
  ) AS lead_id
  FROM paid p
)
SELECT
  c.campaign_id,
  (SELECT count(*) FROM lead l WHERE l.campaign_id = c.campaign_id),
  CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead l WHERE l.campaign_id = c.campaign_id) AS decimal(18, 6))::text,
  (SELECT count(*) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id),
  CAST((SELECT coalesce(sum(a.total_amount), 0) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id) AS decimal(14, 2))::text,
  CAST((SELECT CAST(coalesce(sum(a.total_amount), 0) AS decimal(30, 12)) FROM attributed a JOIN lead l ON l.lead_id = a.lead_id WHERE l.campaign_id = c.campaign_id) / nullif(c.spend, 0) - 1 AS decimal(18, 6))::text
FROM marketing.campaigns c
ORDER BY 1
