package main

// From lead to order: customers of the last year and their leads.
var customerJourney = page{
	UID: "customer-journey", Title: "Customer Journey Analytics", Folder: journeyFolder, Product: "customer_journey",
	About:     "One journey is a customer of the last year and one of their leads. The range of time picks journeys by the day the lead came in.",
	From:      "now-1y",
	Variables: []variable{channel, campaign},
	Links:     []string{"marketing-roi", "sales-performance"},
	Rows: []row{
		{"In the range of time", []panel{
			{Title: "Journeys", About: "Pairs of a customer and a lead.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT count(*) AS journeys
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Customers", About: "Different customers of these journeys.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT count(DISTINCT j.customer_id) AS customers
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Converted", About: "Share of the journeys whose lead is converted.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, bad}, {0.2, fair}, {0.25, good}}, SQL: `
				SELECT (count(*) FILTER (WHERE j.stage = 'converted'))::float8 / nullif(count(*), 0) AS converted
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])`},
			{Title: "Attributed revenue", About: "Paid orders that belong to the leads.", Kind: figures, Unit: "currencyUSD", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(j.revenue_attributed), 0) AS revenue
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])`},
		}},
		{"Stages", []panel{
			{Title: "Journeys by stage", About: "How far the leads have come.", Kind: bars, Unit: "short", Width: 8, Height: 9, Source: marts, SQL: `
				SELECT j.stage, count(*) AS journeys
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1
				 ORDER BY array_position(ARRAY['new', 'contacted', 'qualified', 'converted', 'lost'], j.stage)`},
			{Title: "Journeys per week by stage", About: "By the week the lead came in; bars of young weeks are still moving.", Kind: timeBars, Unit: "short", Width: 16, Height: 9, Source: marts, Stacked: true,
				Colours: map[string]string{"converted": good, "lost": bad, "qualified": neutral}, SQL: `
				SELECT date_trunc('week', j.lead_created_at, 'UTC') AS time, j.stage AS metric, count(*) AS journeys
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
		}},
		{"Time and money", []panel{
			{Title: "Days to convert", About: "How long the converted leads took.", Kind: bars, Unit: "short", Width: 8, Height: 9, Source: marts, SQL: `
				SELECT CASE WHEN days_to_convert < 7 THEN 'under a week'
				            WHEN days_to_convert < 14 THEN '1–2 weeks'
				            WHEN days_to_convert < 30 THEN '2–4 weeks'
				            ELSE 'over a month' END AS took,
				       count(*) AS journeys
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND j.days_to_convert IS NOT NULL
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1
				 ORDER BY min(days_to_convert)`},
			{Title: "Revenue by campaign", About: "Attributed revenue of the journeys. A click on a row shows that campaign alone.", Kind: grid, Unit: "short", Width: 16, Height: 9, Source: marts,
				Columns: []column{{Name: "revenue", Unit: "currencyUSD"}, {Name: "converted", Unit: "percentunit"}},
				Drill:   &drill{Page: "customer-journey", Title: "This campaign alone", Variable: "campaign", From: "campaign"}, SQL: `
				SELECT c.campaign_name AS campaign, c.channel, count(*) AS journeys,
				       (count(*) FILTER (WHERE j.stage = 'converted'))::float8 / count(*) AS converted,
				       sum(j.orders_attributed) AS orders, sum(j.revenue_attributed) AS revenue
				  FROM marts.mart_customer_journey AS j
				  JOIN marts.mart_campaign_roi AS c USING (campaign_id)
				 WHERE $__timeFilter(j.lead_created_at)
				   AND c.channel = ANY (ARRAY[$channel]::text[])
				   AND c.campaign_name = ANY (ARRAY[$campaign]::text[])
				 GROUP BY 1, 2
				 ORDER BY revenue DESC`},
		}},
	},
}
