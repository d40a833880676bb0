{# The moment that all windows count back from: midnight UTC of the day in
   mesh_meta, or of --vars '{as_of: 2026-01-31}'. #}
{% macro as_of() -%}
  {%- if var('as_of', none) is not none -%}
    timestamp '{{ var("as_of") }} 00:00:00 UTC'
  {%- else -%}
    (select with_timezone(cast(as_of as timestamp(6)), 'UTC') from {{ source('sales', 'mesh_meta') }})
  {%- endif -%}
{%- endmacro %}

{# The day, in UTC, of a moment. #}
{% macro day_of(moment) -%}
  cast({{ moment }} at time zone 'UTC' as date)
{%- endmacro %}

{# What joins of e-mail addresses compare. #}
{% macro normalised(email) -%}
  lower(trim({{ email }}))
{%- endmacro %}

{# Sources are as fresh as of the day that the data ends on: on a mesh that was
   filled two months ago nothing has become stale by itself. #}
{% macro default__collect_freshness(source, loaded_at_field, filter) %}
  {% call statement('collect_freshness', fetch_result=True, auto_begin=False) -%}
    select max({{ loaded_at_field }}) as max_loaded_at, {{ as_of() }} as snapshotted_at
    from {{ source }}
    {% if filter %} where {{ filter }} {% endif %}
  {% endcall %}
  {{ return(load_result('collect_freshness')) }}
{% endmacro %}

{# a ÷ b to six digits, empty when there is no b or b is 0. #}
{% macro ratio(a, b) -%}
  cast(cast({{ a }} as decimal(30, 12)) / nullif(cast({{ b }} as decimal(30, 12)), 0) as decimal(18, 6))
{%- endmacro %}
