-- The revenue that the sales domain publishes with a customer is the sum of the
-- customer's paid orders. One statement on one database: nothing can change between.
select c.customer_id, c.revenue, o.revenue as expected
from {{ source('sales', 'customers') }} as c
left join (
  select customer_id, sum(total_amount) as revenue from {{ source('sales', 'orders') }} where status = 'paid' group by customer_id
) as o on o.customer_id = c.customer_id
where c.revenue <> coalesce(o.revenue, 0)
