-- The name published with a lead is that of its campaign.
select l.lead_id, l.campaign_name, c.campaign_name as expected
from {{ ref('stg_marketing__leads') }} as l
join {{ ref('stg_marketing__campaigns') }} as c on c.campaign_id = l.campaign_id
where l.campaign_name <> c.campaign_name
