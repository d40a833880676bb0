-- One row per day and route of the Sales API. Days whose requests differ are
-- computed again, whole: see macros/whole_days.sql.
{{ config(
  materialized='incremental',
  incremental_strategy='whole_days',
  on_schema_change='fail',
  day='served_on',
  pre_hook="{{ drop_days_gone(ref('stg_sales_api__requests'), 'served_on', 'served_on') }}"
) }}
select
  served_on,
  service,
  route,
  method,
  count(*) as requests,
  count_if(status >= 500) as server_errors,
  count_if(status between 400 and 499) as client_errors,
  cast(sum(duration_us) as bigint) as duration_us,
  max(duration_us) as slowest_us,
  cast(sum(response_bytes) as bigint) as response_bytes,
  cast('{{ invocation_id }}' as varchar) as build_id
from {{ ref('stg_sales_api__requests') }}
{% if is_incremental() -%}
where served_on in (
  {{ changed_days(ref('stg_sales_api__requests'), 'served_on', 'count(*)', 'sum(duration_us)', 'served_on', 'sum(requests)', 'sum(duration_us)') }}
)
{%- endif %}
group by served_on, service, route, method
