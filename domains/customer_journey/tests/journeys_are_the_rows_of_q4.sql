-- As many rows as the staged customers and leads have in common.
select m.n, s.n as expected
from (select count(*) as n from {{ ref('mart_customer_journey') }}) as m
cross join (
  select count(*) as n
  from {{ ref('stg_sales__customers') }} as c
  join {{ ref('stg_marketing__leads') }} as l on l.email = c.email
) as s
where m.n <> s.n
