package main

import (
	"fmt"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/expr"
)

// alertFolder holds the rules. Alert files are read before dashboards, and a
// folder that they make has a uid of its own: a folder of dashboards would lose
// the one that links know.
const alertFolder = "Alerts"

// An alert is a rule on one number.
type alert struct {
	UID, Title, About string
	Page, Panel       string // what it opens
	Source            source
	SQL               string
	Range             int // seconds that $__timeFilter covers
	Below, Above      *float64
	For               string // how long, before anybody is told
	Severity          string
}

var alerts = []alert{
	{UID: "conversion-below-20", Title: "Conversion below 20 %", Severity: "warning", For: "1m", Page: "executive-kpis", Panel: "Conversion rate",
		About:  "Less than 20 % of the leads created 60 to 30 days ago are converted.",
		Source: marts, Range: 3600, Below: digits(0.20), SQL: `
			SELECT coalesce(value, 1)::float8 AS conversion
			  FROM marts.mart_executive_kpis
			 WHERE kpi = 'conversion_rate'
			   AND window_days = 30`},
	{UID: "ingest-stale", Title: "No new leads", Severity: "warning", For: "10m", Page: "marketing-roi", Panel: "Leads per day by source",
		About:  "The newest lead is more than two days older than the data (as_of).",
		Source: marketingDB, Range: 3600, Above: digits(48), SQL: `
			SELECT coalesce(extract(epoch FROM (m.as_of + 1)::timestamptz - max(l.created_at)) / 3600, 9999)::float8 AS hours
			  FROM mesh_meta AS m
			  LEFT JOIN leads AS l ON true
			 GROUP BY m.as_of`},
	{UID: "api-errors", Title: "Sales API fails", Severity: "critical", For: "5m", Page: "sales-api", Panel: "Share of errors",
		About:  "More than 5 % of the requests of the last 15 minutes were answered with 500 or above.",
		Source: salesAPIDB, Range: 900, Above: digits(0.05), SQL: `
			SELECT coalesce(sum(errors)::float8 / nullif(sum(count), 0), 0) AS errors
			  FROM metrics
			 WHERE $__timeFilter(minute)`},
	{UID: "api-p95", Title: "Sales API is slow", Severity: "warning", For: "5m", Page: "sales-api", Panel: "Duration",
		About:  "5 % of the requests of the last 15 minutes took longer than a second.",
		Source: salesAPIDB, Range: 900, Above: digits(1000), SQL: `
			WITH sums AS (
			  SELECT ` + bucketSums + ` AS histogram
			    FROM metrics
			   WHERE $__timeFilter(minute)),
			shares AS (
			  SELECT bucket, sum(n) OVER (ORDER BY bucket)::float8 / nullif(sum(n) OVER (), 0) AS upto
			    FROM sums
			   CROSS JOIN unnest(histogram) WITH ORDINALITY AS b (n, bucket))
			SELECT coalesce(min(coalesce(l.to_us, l.from_us)) / 1000.0, 0)::float8 AS p95
			  FROM shares
			  JOIN latency_buckets AS l USING (bucket)
			 WHERE upto >= 0.95`},
	{UID: "dbt-failed", Title: "A test of the marts failed", Severity: "warning", For: "1m", Page: "mesh-health", Panel: "Tests failed",
		About:  "Models or tests of the last build did not pass; the marts are those of the build before.",
		Source: marts, Range: 3600, Above: digits(0), SQL: `
			SELECT (count(*) FILTER (WHERE status IN ('fail', 'error', 'runtime error')))::float8 AS failed
			  FROM ops.dbt_results
			 WHERE ended_at = (SELECT max(ended_at) FROM ops.dbt_results)`},
	{UID: "database-full", Title: "A database is nearly full", Severity: "critical", For: "10m", Page: "mesh-health", Panel: "Fullest database",
		About:  "The databases of a server take more than 80 % of its volume.",
		Source: marts, Range: 3600, Above: digits(0.80), SQL: `
			SELECT coalesce(max(share), 0)::float8 AS fullest
			  FROM (SELECT sum(bytes)::float8 / max(limit_bytes) AS share
			          FROM ops.databases
			         WHERE at = (SELECT max(at) FROM ops.databases)
			         GROUP BY server) AS s`},
}

func (a alert) build() (alerting.Rule, error) {
	evaluator := expr.NewExprTypeThresholdConditionsEvaluatorBuilder()
	switch {
	case a.Below != nil:
		evaluator.Type("lt").Params([]float64{*a.Below})
	case a.Above != nil:
		evaluator.Type("gt").Params([]float64{*a.Above})
	default:
		return alerting.Rule{}, fmt.Errorf("alert %q has no limit", a.Title)
	}
	if !pageOf(a.Page).hasPanel(a.Panel) {
		return alerting.Rule{}, fmt.Errorf("alert %q: dashboard %s has no panel %q", a.Title, a.Page, a.Panel)
	}
	return alerting.NewRuleBuilder(a.Title).Uid(a.UID).RuleGroup("datameesh").FolderUID(alertFolder).OrgID(1).
		Condition("B").For(a.For).
		NoDataState(alerting.RuleNoDataStateNoData).ExecErrState(alerting.RuleExecErrStateError).
		Annotations(map[string]string{
			"summary":          a.About,
			"__dashboardUid__": a.Page,
			"__panelId__":      fmt.Sprint(id(a.Page, a.Panel, "panel")),
		}).
		Labels(map[string]string{"severity": a.Severity, "product": pageOf(a.Page).Product}).
		WithQuery(alerting.NewQueryBuilder("A").DatasourceUid(a.Source.UID).
			RelativeTimeRange(alerting.Duration(a.Range), 0).Model(newQuery(a.Source, "table", text(a.SQL)))).
		WithQuery(alerting.NewQueryBuilder("B").DatasourceUid("__expr__").RelativeTimeRange(0, 0).
			Model(expr.NewExprBuilder().TypeThreshold(expr.NewTypeThresholdBuilder().RefId("B").Expression("A").
				Conditions([]cog.Builder[expr.ExprTypeThresholdConditions]{
					expr.NewExprTypeThresholdConditionsBuilder().Evaluator(evaluator),
				})))).
		Build()
}

func (p page) hasPanel(title string) bool {
	return slices.ContainsFunc(p.panels(), func(one panel) bool { return one.Title == title })
}
