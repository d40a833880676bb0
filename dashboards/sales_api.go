package main

import (
	"fmt"
	"strings"
)

// Rate, errors and duration of the Sales API, from its request log.
var salesAPI = page{
	UID: "sales-api", Title: "Sales API", Folder: apimetricsFolder, Product: "apimetrics",
	About:     "How often the Sales API is called, how often it fails and how long it takes, by the minute.",
	From:      "now-24h",
	Variables: []variable{route, method},
	Links:     []string{"sales-performance"},
	Rows: []row{
		{"In the range of time", []panel{
			{Title: "Requests", About: "Requests answered.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: salesAPIDB, SQL: `
				SELECT coalesce(sum(count), 0) AS requests
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])`},
			{Title: "Server errors", About: "Share of the requests that were answered with 500 or above.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: salesAPIDB,
				Limits: []limit{{0, good}, {0.01, fair}, {0.05, bad}}, SQL: `
				SELECT coalesce(sum(errors)::float8 / nullif(sum(count), 0), 0) AS errors
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])`},
			{Title: "Client errors", About: "Share of the requests that were answered with 400 to 499.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: salesAPIDB, SQL: `
				SELECT coalesce(sum(client_errors)::float8 / nullif(sum(count), 0), 0) AS errors
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])`},
			{Title: "Mean duration", About: "Time to answer, on average.", Kind: figures, Unit: "ms", Width: 6, Height: 4, Source: salesAPIDB,
				Limits: []limit{{0, good}, {250, fair}, {1000, bad}}, SQL: `
				SELECT coalesce(sum(duration_us_sum)::float8 / nullif(sum(count), 0), 0) / 1000 AS mean
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])`},
		}},
		{"Over time", []panel{
			{Title: "Requests per second", About: "By route.", Kind: timeSeries, Unit: "reqps", Width: 12, Height: 9, Source: salesAPIDB, SQL: `
				SELECT $__timeGroupAlias(minute, $__interval), route AS metric, sum(count)::float8 / greatest(extract(epoch FROM '$__interval'::interval), 60) AS requests
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
			{Title: "Share of errors", About: "Answers of 500 and above, and of 400 to 499.", Kind: timeSeries, Unit: "percentunit", Width: 12, Height: 9, Source: salesAPIDB,
				Colours: map[string]string{"server": bad, "client": fair}, SQL: `
				SELECT $__timeGroupAlias(minute, $__interval), sum(errors)::float8 / sum(count) AS server, sum(client_errors)::float8 / sum(count) AS client
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])
				 GROUP BY 1
				 ORDER BY 1`},
			{Title: "Duration", About: "Half, 95 % and 99 % of the requests were answered within this time: upper bounds of the histogram's buckets.", Kind: timeSeries, Unit: "ms", Width: 24, Height: 9, Source: salesAPIDB,
				Colours: map[string]string{"p50": good, "p95": fair, "p99": bad}, SQL: `
				WITH sums AS (
				  SELECT $__timeGroupAlias(minute, $__interval), ` + bucketSums + ` AS histogram
				    FROM metrics
				   WHERE $__timeFilter(minute)
				     AND route = ANY (ARRAY[$route]::text[])
				     AND method = ANY (ARRAY[$method]::text[])
				   GROUP BY 1),
				shares AS (
				  SELECT time, bucket, sum(n) OVER (PARTITION BY time ORDER BY bucket)::float8 / nullif(sum(n) OVER (PARTITION BY time), 0) AS upto
				    FROM sums
				   CROSS JOIN unnest(histogram) WITH ORDINALITY AS b (n, bucket))
				SELECT time,
				       min(coalesce(l.to_us, l.from_us)) FILTER (WHERE upto >= 0.50) / 1000.0 AS p50,
				       min(coalesce(l.to_us, l.from_us)) FILTER (WHERE upto >= 0.95) / 1000.0 AS p95,
				       min(coalesce(l.to_us, l.from_us)) FILTER (WHERE upto >= 0.99) / 1000.0 AS p99
				  FROM shares
				  JOIN latency_buckets AS l USING (bucket)
				 GROUP BY 1
				 ORDER BY 1`},
		}},
		{"By route", []panel{
			{Title: "Routes", About: "Most called first. A click on a row shows that route alone.", Kind: grid, Unit: "short", Width: 24, Height: 9, Source: salesAPIDB,
				Columns: []column{{Name: "errors", Unit: "percentunit", Limits: []limit{{0, good}, {0.01, fair}, {0.05, bad}}}, {Name: "client errors", Unit: "percentunit"}, {Name: "mean", Unit: "ms"}},
				Drill:   &drill{Page: "sales-api", Title: "This route alone", Variable: "route", From: "route"}, SQL: `
				SELECT method, route, sum(count) AS requests, sum(errors)::float8 / sum(count) AS errors, sum(client_errors)::float8 / sum(count) AS "client errors",
				       sum(duration_us_sum) / 1000.0 / sum(count) AS mean
				  FROM metrics
				 WHERE $__timeFilter(minute)
				   AND route = ANY (ARRAY[$route]::text[])
				   AND method = ANY (ARRAY[$method]::text[])
				 GROUP BY 1, 2
				 ORDER BY 3 DESC`},
		}},
	},
}

var (
	route = variable{"route", "Route", salesAPIDB, `
		SELECT DISTINCT route
		  FROM metrics
		 ORDER BY 1`}
	method = variable{"method", "Method", salesAPIDB, `
		SELECT DISTINCT method
		  FROM metrics
		 ORDER BY 1`}
)

// buckets is the length of metrics.latency_histogram (services/apimetrics).
const buckets = 35

// bucketSums adds histograms up. A sum per bucket is ten times as fast as taking
// every array apart, and PostgreSQL has no sum of arrays.
var bucketSums = func() string {
	sums := make([]string, buckets)
	for i := range sums {
		sums[i] = fmt.Sprintf("sum(latency_histogram[%d])", i+1)
	}
	return "ARRAY[" + strings.Join(sums, ", ") + "]"
}()
