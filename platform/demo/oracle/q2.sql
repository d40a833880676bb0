SELECT c.customer_name, l.campaign_name, sum(c.revenue)::text
FROM marketing.leads l, sales.customers c
WHERE c.email = l.email
GROUP BY c.customer_name, l.campaign_name
