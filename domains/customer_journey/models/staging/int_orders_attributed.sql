-- Each paid order with the one lead that it is attributed to: the latest with
-- the same address, created at most 90 days before the order and not after it.
with attributed as (
  select
    o.order_id,
    l.lead_id,
    l.campaign_id,
    row_number() over (partition by o.order_id order by l.created_at desc, l.lead_id desc) as recency
  from {{ ref('stg_sales__orders') }} as o
  join {{ ref('stg_marketing__leads') }} as l
    on l.email = o.customer_email
    and l.created_at <= o.ordered_at
    and l.created_at >= o.ordered_at - interval '90' day
  where o.status = 'paid'
)
select
  o.order_id,
  o.customer_id,
  o.ordered_at,
  o.ordered_on,
  o.total_amount,
  a.lead_id,
  a.campaign_id
from {{ ref('stg_sales__orders') }} as o
left join attributed as a on a.order_id = o.order_id and a.recency = 1
where o.status = 'paid'
