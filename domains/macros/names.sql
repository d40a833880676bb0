{# Target prod has the schemas staging and marts in PostgreSQL; while "meesh dbt
   build" runs, marts are those to be published. Every other target has one
   schema of its own for everything. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
  {%- if target.name != 'prod' or custom_schema_name is none -%}
    {{ target.schema }}
  {%- elif custom_schema_name == 'marts' -%}
    {{ env_var('MEESH_MARTS_SCHEMA', 'marts') }}
  {%- else -%}
    {{ custom_schema_name }}
  {%- endif -%}
{%- endmacro %}
