-- Joins must not fan out: over all campaigns, leads, orders and revenue are
-- those of the staged tables.
select m.*, s.*
from (select sum(leads) as leads, sum(orders_attributed) as orders, sum(revenue_attributed) as revenue from {{ ref('mart_campaign_roi') }}) as m
cross join (
  select
    (select count(*) from {{ ref('stg_marketing__leads') }}) as expected_leads,
    (select count(*) from {{ ref('int_orders_attributed') }} where lead_id is not null) as expected_orders,
    (select coalesce(sum(total_amount), 0) from {{ ref('int_orders_attributed') }} where lead_id is not null) as expected_revenue
) as s
where m.leads is distinct from s.expected_leads
  or m.orders is distinct from s.expected_orders
  or m.revenue is distinct from s.expected_revenue
