-- Leads without their names, their addresses as joins compare them.
select
  lead_id,
  {{ normalised('email') }} as email,
  source,
  campaign_id,
  campaign_name,
  status,
  cast(score as integer) as score,
  created_at,
  converted_at
from {{ source('marketing', 'leads') }}
