{# Incremental models of an append-only log. A day is loaded again, whole, when
   its rows and the target's differ in number or in their sum, so late events
   are found wherever they fall, and a full refresh gives the same. #}

{# Days of the source that the target does not hold as they are now. #}
{% macro changed_days(source_relation, source_day, source_rows, source_sum, day, rows, sum) -%}
  select s.day
  from (select {{ source_day }} as day, {{ source_rows }} as n, {{ source_sum }} as total from {{ source_relation }} group by 1) s
  left join (select {{ day }} as day, {{ rows }} as n, {{ sum }} as total from {{ this }} group by 1) t on t.day = s.day
  where t.day is null or t.n <> s.n or t.total <> s.total
{%- endmacro %}

{# Days that are not in the source any more leave the target. #}
{% macro drop_days_gone(source_relation, source_day, day) %}
  {%- if is_incremental() -%}
    {%- set gone = run_query('select cast(' ~ day ~ ' as varchar) from (select distinct ' ~ day ~ ' from ' ~ this ~ ' except select ' ~ source_day ~ ' from ' ~ source_relation ~ ')').columns[0].values() -%}
    {{ delete_days(this, day, gone) }}
  {%- endif -%}
{% endmacro %}

{# The days are written out, because the connector to PostgreSQL deletes by
   constants only. #}
{% macro delete_days(relation, day, days) -%}
  {%- for batch in days | batch(100) %}
    delete from {{ relation }}
    where {{ day }} in ({% for d in batch %}date '{{ d }}'{{ ', ' if not loop.last }}{% endfor %});
  {%- endfor %}
{%- endmacro %}

{# The strategy: what the target holds of the days that were loaded goes first. #}
{% macro get_incremental_whole_days_sql(arg_dict) -%}
  {%- set day = config.require('day') -%}
  {%- set days = run_query('select distinct cast(' ~ day ~ ' as varchar) from ' ~ arg_dict.temp_relation).columns[0].values() -%}
  {{ delete_days(arg_dict.target_relation, day, days) }}
  {%- set columns = get_quoted_csv(arg_dict.dest_columns | map(attribute='name')) %}
    insert into {{ arg_dict.target_relation }} ({{ columns }})
    select {{ columns }} from {{ arg_dict.temp_relation }}
{%- endmacro %}
