-- One row per campaign. Leads and orders are summed apart and then joined:
-- joined first, each would multiply the other.
with leads as (
  select campaign_id, count(*) as leads, count_if(status = 'converted') as converted_leads
  from {{ ref('stg_marketing__leads') }}
  group by campaign_id
),
orders as (
  select campaign_id, count(*) as orders, sum(total_amount) as revenue
  from {{ ref('int_orders_attributed') }}
  where campaign_id is not null
  group by campaign_id
)
select
  c.campaign_id,
  c.campaign_name,
  c.channel,
  c.budget,
  c.spend,
  c.starts_on,
  c.ends_on,
  coalesce(l.leads, 0) as leads,
  coalesce(l.converted_leads, 0) as converted_leads,
  {{ ratio('l.converted_leads', 'l.leads') }} as conversion_rate,
  coalesce(o.orders, 0) as orders_attributed,
  cast(coalesce(o.revenue, 0) as decimal(14, 2)) as revenue_attributed,
  {{ ratio('coalesce(o.revenue, 0) - c.spend', 'c.spend') }} as roi,
  cast('{{ invocation_id }}' as varchar) as build_id
from {{ ref('stg_marketing__campaigns') }} as c
left join leads as l on l.campaign_id = c.campaign_id
left join orders as o on o.campaign_id = c.campaign_id
