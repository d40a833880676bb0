-- For each customer in the mart, attributed plus organic revenue is the revenue
-- of their paid orders.
select m.customer_id, m.attributed, o.organic, o.revenue
from (select customer_id, sum(revenue_attributed) as attributed from {{ ref('mart_customer_journey') }} group by customer_id) as m
left join (
  select
    customer_id,
    sum(total_amount) filter (where status = 'paid') as revenue,
    sum(total_amount) filter (where status = 'paid' and order_id in (select order_id from {{ ref('int_orders_attributed') }} where lead_id is null)) as organic
  from {{ ref('stg_sales__orders') }}
  group by customer_id
) as o on o.customer_id = m.customer_id
where m.attributed + coalesce(o.organic, 0) <> coalesce(o.revenue, 0)
