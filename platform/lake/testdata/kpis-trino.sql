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
),
at AS (
  SELECT with_timezone(CAST(as_of AS timestamp(6)), 'UTC') AS t FROM sales.public.mesh_meta
)
SELECT 'active_customers', 90, CAST(CAST((SELECT count(DISTINCT customer_id) FROM attributed, at WHERE ordered_at >= t - INTERVAL '90' DAY AND ordered_at < t) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT count(DISTINCT customer_id) FROM attributed, at WHERE ordered_at >= t - INTERVAL '180' DAY AND ordered_at < t - INTERVAL '90' DAY) AS decimal(18, 6)) AS varchar)
UNION ALL
SELECT 'conversion_rate', 30, CAST(CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead, at WHERE created_at >= t - INTERVAL '60' DAY AND created_at < t - INTERVAL '30' DAY) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT CAST(count(CASE WHEN status = 'converted' THEN 1 END) AS decimal(30, 12)) / nullif(count(*), 0) FROM lead, at WHERE created_at >= t - INTERVAL '90' DAY AND created_at < t - INTERVAL '60' DAY) AS decimal(18, 6)) AS varchar)
UNION ALL
SELECT 'revenue', 7, CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '7' DAY AND ordered_at < t) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '14' DAY AND ordered_at < t - INTERVAL '7' DAY) AS decimal(18, 6)) AS varchar)
UNION ALL
SELECT 'revenue', 30, CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY) AS decimal(18, 6)) AS varchar)
UNION ALL
SELECT 'revenue_attributed', 30, CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t AND lead_id IS NOT NULL) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY AND lead_id IS NOT NULL) AS decimal(18, 6)) AS varchar)
UNION ALL
SELECT 'revenue_organic', 30, CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '30' DAY AND ordered_at < t AND lead_id IS NULL) AS decimal(18, 6)) AS varchar), CAST(CAST((SELECT coalesce(sum(total_amount), 0) FROM attributed, at WHERE ordered_at >= t - INTERVAL '60' DAY AND ordered_at < t - INTERVAL '30' DAY AND lead_id IS NULL) AS decimal(18, 6)) AS varchar)
ORDER BY 1, 2
