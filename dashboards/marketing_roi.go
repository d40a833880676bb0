package main

// Sarah's second page: which campaigns pay.
var marketingROI = page{
	UID: "marketing-roi", Title: "Marketing Campaign ROI", Folder: marketingFolder, Product: "marketing",
	About:     "What campaigns cost and bring. A paid order belongs to the latest lead with the same e-mail address of the 90 days before it (docs/kpis.md). Campaigns count as a whole: the range of time acts on leads per day only.",
	From:      "now-90d",
	Variables: []variable{channel, campaign},
	Links:     []string{"customer-journey", "sales-performance"},
	Rows: []row{
		{"All chosen campaigns", []panel{
			{Title: "Spend", About: "What the campaigns have cost so far.", Kind: figures, Unit: "currencyUSD", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(spend), 0) AS spend
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Attributed revenue", About: "Paid orders that belong to a lead of the campaigns.", Kind: figures, Unit: "currencyUSD", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(revenue_attributed), 0) AS revenue
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Return on investment", About: "(Attributed revenue − spend) ÷ spend.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{-1, bad}, {0, fair}, {0.5, good}}, SQL: `
				SELECT (sum(revenue_attributed) - sum(spend)) / nullif(sum(spend), 0) AS roi
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Conversion", About: "Share of the campaigns' leads that are converted.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, bad}, {0.2, fair}, {0.25, good}}, SQL: `
				SELECT sum(converted_leads)::float8 / nullif(sum(leads), 0) AS conversion
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])`},
		}},
		{"By campaign", []panel{
			{Title: "Spend and attributed revenue by channel", About: "A click on a bar shows that channel alone.", Kind: bars, Unit: "currencyUSD", Width: 8, Height: 10, Source: marts,
				Drill: &drill{Page: "marketing-roi", Title: "This channel alone", Variable: "channel", From: "channel"}, SQL: `
				SELECT channel, sum(spend) AS spend, sum(revenue_attributed) AS "attributed revenue"
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1
				 ORDER BY 3 DESC`},
			{Title: "Campaigns", About: "Best return first. A click on a row shows the journeys of that campaign.", Kind: grid, Unit: "short", Width: 16, Height: 10, Source: marts,
				Columns: []column{
					{Name: "spend", Unit: "currencyUSD"}, {Name: "revenue", Unit: "currencyUSD"}, {Name: "conversion", Unit: "percentunit"},
					{Name: "roi", Unit: "percentunit", Limits: []limit{{-1, bad}, {0, fair}, {0.5, good}}},
				},
				Drill: &drill{Page: "customer-journey", Title: "Journeys of this campaign", Variable: "campaign", From: "campaign"}, SQL: `
				SELECT campaign_name AS campaign, channel, leads, conversion_rate AS conversion, orders_attributed AS orders, spend, revenue_attributed AS revenue, roi
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])
				 ORDER BY roi DESC NULLS LAST`},
		}},
		{"Leads", []panel{
			{Title: "Leads per day by source", About: "New leads of the campaigns by the day they came in (UTC), from the live marketing database.", Kind: timeBars, Unit: "short", Width: 16, Height: 9, Source: marketingDB, Stacked: true, SQL: `
				SELECT date_trunc('day', l.created_at, 'UTC') AS time, l.source AS metric, count(*) AS leads
				  FROM leads AS l
				  JOIN campaigns AS c USING (campaign_id)
				 WHERE $__timeFilter(l.created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND l.campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
			{Title: "Conversion by channel", About: "Share of each channel's leads that are converted.", Kind: bars, Unit: "percentunit", Width: 8, Height: 9, Source: marts, SQL: `
				SELECT channel, sum(converted_leads)::float8 / nullif(sum(leads), 0) AS conversion
				  FROM marts.mart_campaign_roi
				 WHERE channel = ANY (ARRAY[$channel]::text[])
				   AND campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1
				 ORDER BY 2 DESC`},
		}},
	},
}

var (
	channel = variable{"channel", "Channel", marts, `
		SELECT DISTINCT channel
		  FROM marts.mart_campaign_roi
		 ORDER BY 1`}
	campaign = variable{"campaign", "Campaign", marts, `
		SELECT campaign_name
		  FROM marts.mart_campaign_roi
		 WHERE channel = ANY (ARRAY[$channel]::text[])
		 ORDER BY 1`}
)
