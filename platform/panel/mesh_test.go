//go:build mesh

package panel

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/meshtest"
)

// These tests need a mesh with marts in the folder $MEESH_HOME:
//
//	MEESH_HOME=… go test -tags mesh ./panel

const generated = "../../dashboards/json"

// connect opens every data source of the dashboards as they do.
func connect(t *testing.T) Sources {
	t.Helper()
	mesh := meshtest.Running(t)
	return Sources{
		"sales-db":     mesh.Connect("sales-db", "sales_data", "grafana_ro"),
		"marketing-db": mesh.Connect("marketing-db", "marketing_data", "grafana_ro"),
		"sales-api-db": mesh.Connect("sales-api-db", "sales_api", "grafana_ro"),
		"marts":        mesh.Connect("platform-db", "sales_analytics", "grafana_ro"),
	}
}

// look is the page as it opens: the last year, everything chosen. A page of an
// hour or a day may be empty on a mesh that nobody uses.
func look(t *testing.T, s Sources, d Dashboard) View {
	t.Helper()
	now := time.Now()
	v := View{From: now.AddDate(-1, 0, 0), To: now, Interval: time.Hour}
	values, err := s.Values(t.Context(), d, v)
	if err != nil {
		t.Fatalf("%s: %v", d.Title, err)
	}
	v.Values = values
	return v
}

// with is the view with one variable set to the values.
func (v View) with(name string, values ...string) View {
	changed := map[string][]string{}
	for n, all := range v.Values {
		changed[n] = all
	}
	changed[name] = values
	v.Values = changed
	return v
}

// Every panel draws with all values, with each single one somewhere, with
// several; a filter that leaves something out changes what is shown.
func TestMeshDrawsEveryPanel(t *testing.T) {
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	sources := connect(t)
	var ran int
	report := &strings.Builder{}
	for _, d := range dashboards {
		fmt.Fprintf(report, "\n## %s\n\n| panel | type | source | rows | ms |\n|---|---|---|---:|---:|\n", d.Title)
		t.Run(d.UID, func(t *testing.T) {
			all := look(t, sources, d)
			for _, problem := range sources.Check(t.Context(), d, all) {
				t.Error(problem)
			}
			for _, p := range d.Panels {
				for _, q := range p.Queries {
					run := func(v View) Table {
						ran++
						table, err := sources.Run(t.Context(), q, v)
						if err != nil {
							t.Errorf("panel %q of %s: %v", p.Title, d.Title, err)
						}
						return table
					}
					begin := time.Now()
					whole := run(all)
					fmt.Fprintf(report, "| %s | %s | %s | %d | %.1f |\n", p.Title, p.Type, q.Source, len(whole.Rows), time.Since(begin).Seconds()*1000)
					for _, variable := range d.Variables {
						if !uses(q, variable.Name) {
							continue
						}
						values := all.Values[variable.Name]
						if len(values) < 2 {
							t.Fatalf("variable %s of %s has the values %v: nothing to choose", variable.Name, d.Title, values)
						}
						var differs int
						for _, value := range values {
							one := run(all.with(variable.Name, value))
							if fmt.Sprint(one) != fmt.Sprint(whole) {
								differs++
							}
						}
						if differs == 0 {
							t.Errorf("panel %q of %s shows the same whatever %s is", p.Title, d.Title, variable.Name)
						}
						run(all.with(variable.Name, values[:2]...))
						// What somebody writes into the address of the page stays a value.
						for _, hostile := range []string{"'; SELECT 1; --", `\' OR 1=1 --`, "${region:raw}", "$__timeFilter(x)"} {
							run(all.with(variable.Name, hostile))
						}
					}
				}
			}
		})
	}
	if ran == 0 {
		t.Error("no query was run")
	}
	t.Logf("%d queries", ran)
	if path := os.Getenv("DASHBOARDS_REPORT"); path != "" {
		text := "# Dashboards: what each query gave\n\nWritten by `make dashboards/report` from a mesh with the demo data, over its last year: rows and milliseconds of each panel with everything chosen. " +
			fmt.Sprintf("With single values, several and hostile ones %d queries were run.\n", ran) + report.String()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func uses(q Query, variable string) bool {
	return strings.Contains(q.SQL, "$"+variable) || strings.Contains(q.SQL, "${"+variable)
}

// Every alert gives one number, and is quiet on data that is in order.
func TestMeshKeepsEveryAlertQuiet(t *testing.T) {
	folder := os.DirFS(generated)
	alerts, err := LoadAlerts(folder)
	if err != nil {
		t.Fatal(err)
	}
	dashboards, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	panels := map[string]bool{}
	for _, d := range dashboards {
		for _, p := range d.Panels {
			panels[d.UID+" "+strconv.Itoa(p.ID)] = true
		}
	}
	sources := connect(t)
	for _, a := range alerts {
		if !panels[a.DashboardUID+" "+a.PanelID] {
			t.Errorf("alert %q opens panel %s of %s, which is not there", a.Title, a.PanelID, a.DashboardUID)
		}
		value, err := sources.Measure(t.Context(), a, time.Now())
		if err != nil {
			t.Errorf("alert %q: %v", a.Title, err)
		}
		t.Logf("%-25s %v", a.Title, value)
		if a.Fires(value) {
			t.Errorf("alert %q fires at %v on a mesh in order", a.Title, value)
		}
	}
}

// Each alert fires on what it is for, and is quiet again without it.
func TestMeshFiresAlerts(t *testing.T) {
	mesh, sources := meshtest.Running(t), connect(t)
	alerts, err := LoadAlerts(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]*pgx.Conn{
		"marketing-db": mesh.Connect("marketing-db", "marketing_data", "marketing_owner"),
		"sales-api-db": mesh.Connect("sales-api-db", "sales_api", "apimetrics_owner"),
		"marts":        mesh.Connect("platform-db", "sales_analytics", "trino_analytics"),
	}
	const (
		noMetric = `DELETE FROM metrics WHERE service = 'planted'`
		metric   = `INSERT INTO metrics (service, route, method, minute, count, errors, client_errors, duration_us_sum, latency_histogram)
			SELECT 'planted', '/', 'GET', date_trunc('minute', now()), 1000000, %s, 0, 1, array_agg(CASE WHEN b = %s THEN 1000000 ELSE 0 END ORDER BY b) FROM generate_series(1, 35) AS b`
	)
	planted := map[string]struct{ plant, undo string }{
		"conversion-below-20": {`UPDATE marts.mart_executive_kpis SET value = value / 2 WHERE kpi = 'conversion_rate'`,
			`UPDATE marts.mart_executive_kpis SET value = value * 2 WHERE kpi = 'conversion_rate'`},
		"ingest-stale": {`UPDATE mesh_meta SET as_of = as_of + 3`, `UPDATE mesh_meta SET as_of = as_of - 3`},
		"api-errors":   {fmt.Sprintf(metric, "900000", "1"), noMetric},
		"api-p95":      {fmt.Sprintf(metric, "0", "35"), noMetric},
		"dbt-failed": {`INSERT INTO ops.dbt_results VALUES (now(), 'planted', 'test.p.planted', 'test', 'fail', 1, 1)`,
			`DELETE FROM ops.dbt_results WHERE invocation_id = 'planted'`},
		"database-full": {`INSERT INTO ops.databases VALUES (now() + interval '1 hour', 'planted', 'planted', 90, 100)`,
			`DELETE FROM ops.databases WHERE server = 'planted'`},
	}
	for _, a := range alerts {
		p, ok := planted[a.UID]
		if !ok {
			t.Errorf("nothing is planted for alert %q", a.Title)
			continue
		}
		measure := func() float64 {
			value, err := sources.Measure(t.Context(), a, time.Now())
			if err != nil {
				t.Errorf("alert %q: %v", a.Title, err)
			}
			return value
		}
		conn := owner[a.Query.Source]
		if _, err := conn.Exec(t.Context(), p.plant); err != nil {
			t.Fatalf("plant for %q: %v", a.Title, err)
		}
		if value := measure(); !a.Fires(value) {
			t.Errorf("alert %q does not fire at %v", a.Title, value)
		}
		if _, err := conn.Exec(t.Context(), p.undo); err != nil {
			t.Fatalf("undo what was planted for %q: %v", a.Title, err)
		}
		if value := measure(); a.Fires(value) {
			t.Errorf("alert %q still fires, at %v", a.Title, value)
		}
	}
}

// A column that is renamed in a mart fails by the name of the panel.
func TestMeshNamesThePanelThatFails(t *testing.T) {
	mesh, sources := meshtest.Running(t), connect(t)
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	conn := mesh.Connect("platform-db", "sales_analytics", "trino_analytics")
	rename := func(from, to string) {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(`ALTER TABLE marts.mart_campaign_roi RENAME COLUMN %s TO %s`, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dashboards {
		if d.UID != "marketing-roi" {
			continue
		}
		v := look(t, sources, d)
		rename("roi", "return")
		problems := sources.Check(t.Context(), d, v)
		rename("return", "roi")
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), `panel "Campaigns" of Marketing Campaign ROI`) || !strings.Contains(problems[0].Error(), `"roi" does not exist`) {
			t.Errorf("got %v", problems)
		}
		return
	}
	t.Error("no dashboard marketing-roi")
}

// The executive's figures are those of the domains' own tables.
func TestMeshShowsTheFiguresOfTheDomains(t *testing.T) {
	mesh, sources := meshtest.Running(t), connect(t)
	sales := mesh.Connect("sales-db", "sales_data", "sales_owner")
	marketing := mesh.Connect("marketing-db", "marketing_data", "marketing_owner")
	const revenue = `SELECT sum(total_amount)::float8 FROM orders, mesh_meta WHERE status = 'paid' AND ordered_at >= (as_of - %d)::timestamptz AND ordered_at < as_of::timestamptz`
	for title, other := range map[string]struct {
		conn *pgx.Conn
		sql  string
	}{
		"Revenue, 7 days":  {sales, fmt.Sprintf(revenue, 7)},
		"Revenue, 30 days": {sales, fmt.Sprintf(revenue, 30)},
		"Active customers": {sales, `SELECT count(DISTINCT customer_id)::float8 FROM orders, mesh_meta WHERE status = 'paid' AND ordered_at >= (as_of - 90)::timestamptz AND ordered_at < as_of::timestamptz`},
		"Conversion rate": {marketing, `SELECT round(avg((status = 'converted')::int), 6)::float8 FROM leads, mesh_meta
			WHERE created_at >= (as_of - 60)::timestamptz AND created_at < (as_of - 30)::timestamptz`},
	} {
		var want float64
		if err := other.conn.QueryRow(t.Context(), other.sql).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got := figure(t, sources, "executive-kpis", title); math.Abs(got-want) > 1e-9*want || want == 0 {
			t.Errorf("%s: the page shows %v, the domain has %v", title, got, want)
		}
	}
}

// The dashboards cannot import how many buckets the histograms have.
func TestMeshHasTheBucketsOfTheDashboards(t *testing.T) {
	var buckets int
	if err := meshtest.Running(t).Connect("sales-api-db", "sales_api", "grafana_ro").QueryRow(t.Context(), `SELECT count(*) FROM latency_buckets`).Scan(&buckets); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(generated + "/dashboards/api-metrics/sales-api.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "sum(latency_histogram["); got != buckets {
		t.Errorf("the dashboard adds %d buckets up, the database has %d", got, buckets)
	}
}

// figure is the first number of a panel.
func figure(t *testing.T, s Sources, uid, title string) float64 {
	t.Helper()
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards {
		for _, p := range d.Panels {
			if d.UID != uid || p.Title != title {
				continue
			}
			table, err := s.Run(t.Context(), p.Queries[0], look(t, s, d))
			if err != nil || len(table.Rows) != 1 {
				t.Fatalf("%s: %v, %v", title, table, err)
			}
			return table.Rows[0][0].(float64)
		}
	}
	t.Fatalf("no panel %q on %s", title, uid)
	return 0
}
