-- The request log of the Sales API, without keys and request ids. Days that
-- differ from the log are loaded again, whole: see macros/whole_days.sql.
{{ config(
  materialized='incremental',
  incremental_strategy='whole_days',
  on_schema_change='fail',
  day='served_on',
  pre_hook="{{ drop_days_gone(source('sales_api', 'api_logs'), day_of('served_at'), 'served_on') }}"
) }}
select
  log_id,
  served_at,
  {{ day_of('served_at') }} as served_on,
  service,
  route,
  method,
  cast(status as integer) as status,
  duration_us,
  response_bytes
from {{ source('sales_api', 'api_logs') }}
{% if is_incremental() -%}
where {{ day_of('served_at') }} in (
  {{ changed_days(source('sales_api', 'api_logs'), day_of('served_at'), 'count(*)', 'sum(log_id + duration_us)', 'served_on', 'count(*)', 'sum(log_id + duration_us)') }}
)
{%- endif %}
