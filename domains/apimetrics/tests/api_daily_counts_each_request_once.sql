-- Per day, the mart holds as many requests, and as much time, as the staged log.
select coalesce(m.served_on, s.served_on) as day, m.requests, s.requests as expected
from (select served_on, sum(requests) as requests, sum(duration_us) as duration_us from {{ ref('mart_api_daily') }} group by 1) as m
full join (
  select served_on, count(*) as requests, sum(duration_us) as duration_us from {{ ref('stg_sales_api__requests') }} group by 1
) as s on s.served_on = m.served_on
where m.requests is distinct from s.requests or m.duration_us is distinct from s.duration_us
