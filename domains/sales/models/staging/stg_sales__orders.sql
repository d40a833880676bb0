-- All orders with what marts need of their customers: stg_sales__customers
-- holds those of a year only, revenue counts everybody's.
select
  o.order_id,
  o.customer_id,
  {{ normalised('c.email') }} as customer_email,
  c.region as customer_region,
  c.segment as customer_segment,
  o.status,
  o.total_amount,
  o.ordered_at,
  {{ day_of('o.ordered_at') }} as ordered_on,
  o.updated_at
from {{ source('sales', 'orders') }} as o
left join {{ source('sales', 'customers') }} as c on c.customer_id = o.customer_id
