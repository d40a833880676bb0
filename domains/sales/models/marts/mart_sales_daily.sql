-- One row per day, region and segment in which something was ordered.
select
  ordered_on as sold_on,
  customer_region as region,
  customer_segment as segment,
  count(*) as orders,
  count_if(status = 'paid') as orders_paid,
  count_if(status = 'cancelled') as orders_cancelled,
  count_if(status = 'refunded') as orders_refunded,
  cast(coalesce(sum(total_amount) filter (where status = 'paid'), 0) as decimal(14, 2)) as revenue,
  cast('{{ invocation_id }}' as varchar) as build_id
from {{ ref('stg_sales__orders') }}
group by ordered_on, customer_region, customer_segment
