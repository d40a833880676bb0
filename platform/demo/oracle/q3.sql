SELECT c.segment, l.campaign_name, count(*)::text, count(DISTINCT c.customer_id)::text, sum(c.revenue)::text
FROM marketing.leads l, sales.customers c
WHERE c.email = l.email
GROUP BY c.segment, l.campaign_name
