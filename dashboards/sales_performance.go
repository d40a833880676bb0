package main

// Sarah's first page: what is sold where and to whom.
var salesPerformance = page{
	UID: "sales-performance", Title: "Sales Performance", Folder: salesFolder, Product: "sales",
	About:     "Orders and revenue by day, region and segment. Revenue counts paid orders, by the day they were placed (docs/kpis.md).",
	From:      "now-90d",
	Variables: []variable{region, segment},
	Links:     []string{"customer-journey", "sales-api"},
	Rows: []row{
		{"In the range of time", []panel{
			{Title: "Revenue", About: "Sum of the paid orders.", Kind: figures, Unit: "currencyUSD", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(revenue), 0) AS revenue
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])`},
			{Title: "Orders", About: "Orders placed, whatever became of them.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(orders), 0) AS orders
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])`},
			{Title: "Average paid order", About: "Revenue by paid order.", Kind: figures, Unit: "currencyUSD", Width: 6, Height: 4, Source: marts, SQL: `
				SELECT coalesce(sum(revenue) / nullif(sum(orders_paid), 0), 0) AS average
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])`},
			{Title: "Cancelled or refunded", About: "Share of the orders that brought nothing in the end.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, good}, {0.15, fair}, {0.25, bad}}, SQL: `
				SELECT coalesce(sum(orders_cancelled + orders_refunded)::float8 / nullif(sum(orders), 0), 0) AS share
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])`},
		}},
		{"Over time", []panel{
			{Title: "Revenue per day by region", About: "Paid orders of each day (UTC), one colour per region.", Kind: timeBars, Unit: "currencyUSD", Width: 16, Height: 9, Source: marts, Stacked: true, SQL: `
				SELECT sold_on::timestamptz AS time, region AS metric, sum(revenue) AS revenue
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
			{Title: "Orders per day", About: "Orders of each day: all, and those cancelled or refunded since.", Kind: timeSeries, Unit: "short", Width: 8, Height: 9, Source: marts,
				Colours: map[string]string{"orders": neutral, "cancelled or refunded": bad}, SQL: `
				SELECT sold_on::timestamptz AS time, sum(orders) AS orders, sum(orders_cancelled + orders_refunded) AS "cancelled or refunded"
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])
				 GROUP BY 1
				 ORDER BY 1`},
		}},
		{"By region and segment", []panel{
			{Title: "Revenue by region", About: "A click on a bar shows that region alone.", Kind: bars, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Drill: &drill{Page: "sales-performance", Title: "This region alone", Variable: "region", From: "region"}, SQL: `
				SELECT region, sum(revenue) AS revenue
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])
				 GROUP BY 1
				 ORDER BY 2 DESC`},
			{Title: "Revenue by segment", About: "A click on a bar shows that segment alone.", Kind: bars, Unit: "currencyUSD", Width: 12, Height: 9, Source: marts,
				Drill: &drill{Page: "sales-performance", Title: "This segment alone", Variable: "segment", From: "segment"}, SQL: `
				SELECT segment, sum(revenue) AS revenue
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])
				 GROUP BY 1
				 ORDER BY 2 DESC`},
			{Title: "Regions and segments", About: "What the charts show, as numbers.", Kind: grid, Unit: "short", Width: 24, Height: 9, Source: marts,
				Columns: []column{{Name: "revenue", Unit: "currencyUSD"}, {Name: "average", Unit: "currencyUSD"}}, SQL: `
				SELECT region, segment, sum(orders) AS orders, sum(revenue) AS revenue, sum(revenue) / nullif(sum(orders_paid), 0) AS average
				  FROM marts.mart_sales_daily
				 WHERE $__timeFilter(sold_on::timestamptz)
				   AND region = ANY (ARRAY[$region]::text[])
				   AND segment = ANY (ARRAY[$segment]::text[])
				 GROUP BY 1, 2
				 ORDER BY 4 DESC`},
		}},
	},
}

var (
	region = variable{"region", "Region", marts, `
		SELECT DISTINCT region
		  FROM marts.mart_sales_daily
		 ORDER BY 1`}
	segment = variable{"segment", "Segment", marts, `
		SELECT DISTINCT segment
		  FROM marts.mart_sales_daily
		 ORDER BY 1`}
)
