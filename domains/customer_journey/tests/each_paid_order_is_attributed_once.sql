-- The attribution holds every paid order, each once.
select *
from (select count(*) as n, coalesce(sum(total_amount), 0) as revenue from {{ ref('int_orders_attributed') }}) as a
cross join (
  select count(*) as expected, coalesce(sum(total_amount), 0) as expected_revenue from {{ ref('stg_sales__orders') }} where status = 'paid'
) as s
where a.n <> s.expected or a.revenue <> s.expected_revenue
