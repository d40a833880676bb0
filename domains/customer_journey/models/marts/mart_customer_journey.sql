-- One row per customer of the last year and each of their leads: the rows of Q4.
with attributed as (
  select lead_id, customer_id, count(*) as orders, sum(total_amount) as revenue
  from {{ ref('int_orders_attributed') }}
  where lead_id is not null
  group by lead_id, customer_id
)
select
  c.customer_id,
  l.lead_id,
  l.campaign_id,
  l.created_at as lead_created_at,
  l.status as stage,
  date_diff('day', l.created_at, l.converted_at) as days_to_convert,
  coalesce(a.orders, 0) as orders_attributed,
  cast(coalesce(a.revenue, 0) as decimal(14, 2)) as revenue_attributed,
  cast('{{ invocation_id }}' as varchar) as build_id
from {{ ref('stg_sales__customers') }} as c
join {{ ref('stg_marketing__leads') }} as l on l.email = c.email
left join attributed as a on a.lead_id = l.lead_id and a.customer_id = c.customer_id
