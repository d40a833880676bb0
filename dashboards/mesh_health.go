package main

// Mike's page: does the mesh run, and is its data fresh. mesh-collector takes
// the figures every minute.
var meshHealth = page{
	UID: "mesh-health", Title: "Mesh Health", Folder: platformFolder, Product: "platform",
	About: "What runs, how long Trino's queries take, how full the databases and the lake are, and how the last build of the marts went.",
	From:  "now-6h",
	Links: []string{"sales-api"},
	Rows: []row{
		{"Now", []panel{
			{Title: "Components down", About: "Components that did not answer at the last look.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, good}, {1, bad}}, SQL: `
				SELECT count(*) FILTER (WHERE NOT up) AS down
				  FROM ops.components
				 WHERE at = (SELECT max(at) FROM ops.components)`},
			{Title: "Fullest database", About: "Size of the fullest server's databases by its volume.", Kind: figures, Unit: "percentunit", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, good}, {0.7, fair}, {0.8, bad}}, SQL: `
				SELECT max(share) AS fullest
				  FROM (SELECT sum(bytes)::float8 / max(limit_bytes) AS share
				          FROM ops.databases
				         WHERE at = (SELECT max(at) FROM ops.databases)
				         GROUP BY server) AS s`},
			{Title: "Marts built", About: "Time since the last build of the marts ended.", Kind: figures, Unit: "s", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, good}, {86400, fair}, {172800, bad}}, SQL: `
				SELECT extract(epoch FROM now() - max(ended_at))::float8 AS since
				  FROM ops.dbt_results`},
			{Title: "Tests failed", About: "Tests and models of the last build that did not pass.", Kind: figures, Unit: "short", Width: 6, Height: 4, Source: marts,
				Limits: []limit{{0, good}, {1, bad}}, SQL: `
				SELECT count(*) FILTER (WHERE status IN ('fail', 'error', 'runtime error')) AS failed
				  FROM ops.dbt_results
				 WHERE ended_at = (SELECT max(ended_at) FROM ops.dbt_results)`},
		}},
		{"Components", []panel{
			{Title: "Components", About: "At the last look: who answers, how fast, and else why not.", Kind: grid, Unit: "short", Width: 12, Height: 10, Source: marts,
				Columns: []column{{Name: "took", Unit: "s"}}, SQL: `
				SELECT component, CASE WHEN up THEN 'up' ELSE 'down' END AS state, seconds AS took, message
				  FROM ops.components
				 WHERE at = (SELECT max(at) FROM ops.components)
				 ORDER BY up, component`},
			{Title: "Available", About: "Share of the looks at which each component answered.", Kind: timeSeries, Unit: "percentunit", Width: 12, Height: 10, Source: marts, SQL: `
				SELECT $__timeGroupAlias(at, $__interval), component AS metric, avg(up::int)::float8 AS available
				  FROM ops.components
				 WHERE $__timeFilter(at)
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
		}},
		{"Trino", []panel{
			{Title: "Queries", About: "Queries that ended, by the minute of the look.", Kind: timeBars, Unit: "short", Width: 12, Height: 9, Source: marts, Stacked: true,
				Colours: map[string]string{"finished": good, "failed": bad}, SQL: `
				SELECT $__timeGroupAlias(at, $__interval), sum(finished) AS finished, sum(failed) AS failed
				  FROM ops.trino
				 WHERE $__timeFilter(at)
				 GROUP BY 1
				 ORDER BY 1`},
			{Title: "Time of queries", About: "From their creation to their end: the median, and the slowest.", Kind: timeSeries, Unit: "s", Width: 12, Height: 9, Source: marts,
				Colours: map[string]string{"median": good, "slowest": fair}, SQL: `
				SELECT $__timeGroupAlias(at, $__interval), avg(median_seconds) AS median, max(slowest_seconds) AS slowest
				  FROM ops.trino
				 WHERE $__timeFilter(at)
				 GROUP BY 1
				 ORDER BY 1`},
		}},
		{"Storage", []panel{
			{Title: "Databases", About: "Size of each database, and what its server's volume holds.", Kind: grid, Unit: "bytes", Width: 12, Height: 9, Source: marts,
				Columns: []column{{Name: "share", Unit: "percentunit", Limits: []limit{{0, good}, {0.7, fair}, {0.8, bad}}}}, SQL: `
				SELECT server, database, bytes AS size, limit_bytes AS volume, bytes::float8 / limit_bytes AS share
				  FROM ops.databases
				 WHERE at = (SELECT max(at) FROM ops.databases)
				 ORDER BY share DESC`},
			{Title: "Lake", About: "Data of the lake's tables as of now, without older snapshots.", Kind: timeSeries, Unit: "bytes", Width: 12, Height: 9, Source: marts, Stacked: true, SQL: `
				SELECT $__timeGroupAlias(at, $__interval), table_name AS metric, max(bytes) AS size
				  FROM ops.lake
				 WHERE $__timeFilter(at)
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
		}},
		{"Transformation", []panel{
			{Title: "Slowest models and tests", About: "Of the last build.", Kind: bars, Unit: "s", Width: 12, Height: 9, Source: marts, SQL: `
				SELECT split_part(node, '.', 3) AS node, seconds AS took
				  FROM ops.dbt_results
				 WHERE ended_at = (SELECT max(ended_at) FROM ops.dbt_results)
				 ORDER BY seconds DESC
				 LIMIT 8`},
			{Title: "Results of the last build", About: "Models, tests and the rest by how they ended.", Kind: grid, Unit: "short", Width: 12, Height: 9, Source: marts, SQL: `
				SELECT kind, status, count(*) AS nodes, sum(failures) AS failures
				  FROM ops.dbt_results
				 WHERE ended_at = (SELECT max(ended_at) FROM ops.dbt_results)
				 GROUP BY 1, 2
				 ORDER BY 1, 2`},
		}},
	},
}
