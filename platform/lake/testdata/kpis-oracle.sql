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
),
at AS (
  SELECT CAST(as_of AS timestamp) AT TIME ZONE 'UTC' AS t FROM sales.mesh_meta
)
SELECT 'active_customers', 90, CAST((SELECT count(DISTINCT customer_id) FROM attributed, at WHERE ordered_at >= t - INTERVAL '90' DAY AND ordered_at < t) AS decimal(18, 6))::text, CAST((SELECT count(DISTINCT customer_id) FROM attributed, at WHERE ordered_at >= t - INTERVAL '180' DAY AND ordered_at < t - INTERVAL '90' DAY) AS decimal(18, 6))::text
UNION ALL
SELECT 'conversion_rate', 30, CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead, at WHERE created_at >= t - INTERVAL '60' DAY AND created_at < t - INTERVAL '30' DAY) AS decimal(18, 6))::text, CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead, at WHERE created_at >= t - INTERVAL '90' DAY AND created_at < t - INTERVAL '60' DAY) AS decimal(18, 6))::text
UNION ALL
SELECT 'revenue', 7, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '7' DAY AND ordered_at < t) AS decimal(18, 6))::text, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '14' DAY AND ordered_at < t - INTERVAL '7' DAY) AS decimal(18, 6))::text
UNION ALL
SELECT 'revenue', 30, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t) AS decimal(18, 6))::text, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY) AS decimal(18, 6))::text
UNION ALL
SELECT 'revenue_attributed', 30, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t AND lead_id IS NOT NULL) AS decimal(18, 6))::text, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY AND lead_id IS NOT NULL) AS decimal(18, 6))::text
UNION ALL
SELECT 'revenue_organic', 30, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t AND lead_id IS NULL) AS decimal(18, 6))::text, CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY AND lead_id IS NULL) AS decimal(18, 6))::text
ORDER BY 1, 2
