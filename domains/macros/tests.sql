{% test not_empty(model) %}
  select 1 as empty where not exists (select 1 from {{ model }})
{% endtest %}

{% test holds(model, expression, column_name=None) %}
  select * from {{ model }} where not coalesce({{ expression }}, false)
{% endtest %}

{% test one_row_per(model, columns) %}
  select {{ columns | join(', ') }}, count(*) as n
  from {{ model }}
  group by {{ columns | join(', ') }}
  having count(*) > 1
{% endtest %}

{# Columns that no mart may have: who reads marts may send any SQL. #}
{% test no_personal_columns(model) %}
  select column_name
  from {{ model.information_schema() }}.columns
  where table_schema = '{{ model.schema }}' and table_name = '{{ model.identifier }}'
    and regexp_like(column_name, 'mail|phone|full_name|customer_name')
{% endtest %}
