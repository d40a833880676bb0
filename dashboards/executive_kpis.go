package main

import "fmt"

// Emma's page: at most seven figures, each with the one before it.
var executiveKPIs = page{
	UID: "executive-kpis", Title: "Executive KPIs", Folder: journeyFolder, Product: "customer_journey",
	About: "The key figures of docs/kpis.md as of the last build, each beside the period before it.",
	From:  "now-1y",
	Links: []string{"sales-performance", "marketing-roi", "customer-journey"},
	Rows: []row{
		{"Key figures", []panel{
			figure("Revenue, 7 days", "Paid orders of the last 7 days, week over week.", "currencyUSD", "revenue", 7),
			figure("Revenue, 30 days", "Paid orders of the last 30 days, month over month.", "currencyUSD", "revenue", 30),
			figure("Attributed revenue, 30 days", "The part that belongs to leads.", "currencyUSD", "revenue_attributed", 30),
			figure("Organic revenue, 30 days", "The part without a lead.", "currencyUSD", "revenue_organic", 30),
			figure("Active customers", "Customers with a paid order in the last 90 days.", "short", "active_customers", 90),
			{Title: "Conversion rate", About: "Share of the leads created 60 to 30 days ago that are converted. Sarah is mailed below 20 %.", Kind: figures, Unit: "percentunit", Width: 4, Height: 5, Source: marts,
				Columns: []column{
					{Name: "now", Unit: "percentunit", Limits: []limit{{0, bad}, {0.2, fair}, {0.25, good}}},
					{Name: "change", Unit: "percentunit", Limits: []limit{{-1, bad}, {-0.02, neutral}, {0.02, good}}},
				}, SQL: figureSQL("conversion_rate", 30)},
		}},
		{"Trends", []panel{
			{Title: "Revenue per week", About: "Whole weeks (UTC), beside the same a week before.", Kind: timeSeries, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Colours: map[string]string{"revenue": neutral, "week before": "text"}, SQL: `
				SELECT date_trunc('week', sold_on)::timestamptz AS time, sum(revenue) AS revenue,
				       lag(sum(revenue)) OVER (ORDER BY date_trunc('week', sold_on)) AS "week before"
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND sold_on < date_trunc('week', (SELECT max(sold_on) FROM marts.mart_sales_daily))
				 GROUP BY 1, date_trunc('week', sold_on)
				 ORDER BY 1`},
			{Title: "Revenue per month", About: "Whole months (UTC), beside the same a month before.", Kind: timeSeries, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Colours: map[string]string{"revenue": neutral, "month before": "text"}, SQL: `
				SELECT date_trunc('month', sold_on)::timestamptz AS time, sum(revenue) AS revenue,
				       lag(sum(revenue)) OVER (ORDER BY date_trunc('month', sold_on)) AS "month before"
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND sold_on < date_trunc('month', (SELECT max(sold_on) FROM marts.mart_sales_daily))
				 GROUP BY 1, date_trunc('month', sold_on)
				 ORDER BY 1`},
		}},
		{"Sales and marketing", []panel{
			{Title: "Revenue and spend by channel", About: "Attributed revenue of each channel beside what it has cost.", Kind: bars, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Drill: &drill{Page: "marketing-roi", Title: "Campaigns of this channel", Variable: "channel", From: "channel"}, SQL: `
				SELECT channel, sum(revenue_attributed) AS "attributed revenue", sum(spend) AS spend
				  FROM marts.mart_campaign_roi
				 GROUP BY 1
				 ORDER BY 2 DESC`},
			{Title: "Revenue by region", About: "Paid orders in the range of time.", Kind: bars, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Drill: &drill{Page: "sales-performance", Title: "Sales of this region", Variable: "region", From: "region"}, SQL: `
				SELECT region, sum(revenue) AS revenue
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				 GROUP BY 1
				 ORDER BY 2 DESC`},
		}},
	},
}

// figure is a tile: the figure now, and its change.
func figure(title, about, unit, kpi string, days int) panel {
	return panel{Title: title, About: about, Kind: figures, Unit: unit, Width: 4, Height: 5, Source: marts,
		Columns: []column{{Name: "change", Unit: "percentunit", Limits: []limit{{-1, bad}, {-0.02, neutral}, {0.02, good}}}},
		SQL:     figureSQL(kpi, days)}
}

func figureSQL(kpi string, days int) string {
	return fmt.Sprintf(`
				SELECT value AS now, change
				  FROM marts.mart_executive_kpis
				 WHERE kpi = '%s'
				   AND window_days = %d`, kpi, days)
}
