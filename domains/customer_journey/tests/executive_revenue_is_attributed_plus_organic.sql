select *
from (
  select
    max(value) filter (where kpi = 'revenue') as revenue,
    sum(value) filter (where kpi in ('revenue_attributed', 'revenue_organic')) as parts
  from {{ ref('mart_executive_kpis') }}
  where window_days = 30
) as k
where revenue <> parts
