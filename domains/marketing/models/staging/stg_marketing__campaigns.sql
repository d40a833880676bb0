select
  campaign_id,
  campaign_name,
  channel,
  budget,
  spend,
  starts_on,
  ends_on
from {{ source('marketing', 'campaigns') }}
