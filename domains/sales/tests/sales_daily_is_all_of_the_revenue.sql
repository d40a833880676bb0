-- Per day, the mart holds the revenue and the orders of the staged orders.
select coalesce(m.sold_on, s.ordered_on) as day, m.revenue, s.revenue as expected
from (select sold_on, sum(revenue) as revenue, sum(orders) as orders from {{ ref('mart_sales_daily') }} group by 1) as m
full join (
  select ordered_on, coalesce(sum(total_amount) filter (where status = 'paid'), 0) as revenue, count(*) as orders
  from {{ ref('stg_sales__orders') }} group by 1
) as s on s.ordered_on = m.sold_on
where m.revenue is distinct from s.revenue or m.orders is distinct from s.orders
