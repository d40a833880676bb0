-- One row per key figure of docs/kpis.md and window, with the window before it
-- for comparison.
with as_of as (
  select {{ as_of() }} as moment
),
windows as (
  -- days of the window; days between its end and as_of; days from it to the one before
  select kpi, days, lag_days, step_days
  from (values
    ('revenue', 7, 0, 7),
    ('revenue', 30, 0, 30),
    ('revenue_attributed', 30, 0, 30),
    ('revenue_organic', 30, 0, 30),
    ('active_customers', 90, 0, 90),
    ('conversion_rate', 30, 30, 30)
  ) as w (kpi, days, lag_days, step_days)
),
spans as (
  select
    w.kpi,
    w.days,
    period,
    a.moment - interval '1' day * (w.lag_days + w.days + period * w.step_days) as starts_at,
    a.moment - interval '1' day * (w.lag_days + period * w.step_days) as ends_at
  from windows as w
  cross join as_of as a
  cross join (values 0, 1) as p (period)
),
orders as (
  select
    s.kpi,
    s.days,
    s.period,
    sum(o.total_amount) as revenue,
    sum(o.total_amount) filter (where o.lead_id is not null) as revenue_attributed,
    sum(o.total_amount) filter (where o.lead_id is null) as revenue_organic,
    count(distinct o.customer_id) as active_customers
  from spans as s
  join {{ ref('int_orders_attributed') }} as o on o.ordered_at >= s.starts_at and o.ordered_at < s.ends_at
  where s.kpi <> 'conversion_rate'
  group by s.kpi, s.days, s.period
),
leads as (
  select s.kpi, s.days, s.period, count(*) as leads, count_if(l.status = 'converted') as converted
  from spans as s
  join {{ ref('stg_marketing__leads') }} as l on l.created_at >= s.starts_at and l.created_at < s.ends_at
  where s.kpi = 'conversion_rate'
  group by s.kpi, s.days, s.period
),
figures as (
  select
    s.kpi,
    s.days,
    s.period,
    s.starts_at,
    s.ends_at,
    case s.kpi
      when 'revenue' then cast(coalesce(o.revenue, 0) as decimal(18, 6))
      when 'revenue_attributed' then cast(coalesce(o.revenue_attributed, 0) as decimal(18, 6))
      when 'revenue_organic' then cast(coalesce(o.revenue_organic, 0) as decimal(18, 6))
      when 'active_customers' then cast(coalesce(o.active_customers, 0) as decimal(18, 6))
      when 'conversion_rate' then {{ ratio('l.converted', 'l.leads') }}
    end as value
  from spans as s
  left join orders as o on o.kpi = s.kpi and o.days = s.days and o.period = s.period
  left join leads as l on l.kpi = s.kpi and l.days = s.days and l.period = s.period
)
select
  cast(now.kpi as varchar) as kpi,
  now.days as window_days,
  {{ day_of('now.starts_at') }} as window_starts_on,
  {{ day_of('now.ends_at') }} as window_ends_on,
  now.value,
  before.value as previous_value,
  cast({{ ratio('now.value', 'before.value') }} - 1 as decimal(18, 6)) as change,
  cast('{{ invocation_id }}' as varchar) as build_id
from figures as now
join figures as before on before.kpi = now.kpi and before.days = now.days and before.period = 1
where now.period = 0
