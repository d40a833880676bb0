-- Customers of the year before as_of, their addresses as joins compare them.
select
  customer_id,
  {{ normalised('email') }} as email,
  cast(region as varchar) as region,
  cast(segment as varchar) as segment,
  created_at,
  updated_at
from {{ source('sales', 'customers') }}
where created_at >= {{ as_of() }} - interval '1' year
