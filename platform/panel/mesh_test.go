//go:build mesh

package panel

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/topology"
)

// These tests run on the mesh in the folder $MEESH_HOME, which must have marts and a
// lake, or start one:
//
//	go test -tags mesh ./panel

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
			shown := map[string]bool{} // what a variable chose and some panel shows a number of
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
							if err := p.Draws(one); err != nil {
								t.Errorf("panel %q of %s with %s %q: %v", p.Title, d.Title, variable.Name, value, err)
							}
							shown[variable.Name+" "+value] = shown[variable.Name+" "+value] || tells(one)
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
			for _, variable := range d.Variables {
				for _, value := range all.Values[variable.Name] {
					if !shown[variable.Name+" "+value] {
						t.Errorf("no panel of %s shows a number with %s %q", d.Title, variable.Name, value)
					}
				}
				fmt.Fprintf(report, "\nVariable `%s`: %s.\n", variable.Name, strings.Join(all.Values[variable.Name], ", "))
			}
		})
	}
	if ran == 0 {
		t.Error("no query was run")
	}
	t.Logf("%d queries", ran)
	if path := os.Getenv("DASHBOARDS_REPORT"); path != "" {
		reportAlerts(t, sources, report)
		text := "# Dashboards: what each query gave\n\nWritten by `make dashboards/report` from a mesh with the demo data, over its last year: rows and milliseconds of each panel with everything chosen. " +
			fmt.Sprintf("With single values, several and hostile ones %d queries were run.\n", ran) + report.String()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// tells says whether the table holds a number that is not 0.
func tells(t Table) bool {
	for _, row := range t.Rows {
		for _, value := range row {
			if n, ok := value.(float64); ok && n != 0 {
				return true
			}
		}
	}
	return false
}

func uses(q Query, variable string) bool {
	return strings.Contains(q.SQL, "$"+variable) || strings.Contains(q.SQL, "${"+variable)
}

// reportAlerts writes what each alert measures.
func reportAlerts(t *testing.T, sources Sources, report *strings.Builder) {
	t.Helper()
	alerts, err := LoadAlerts(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	report.WriteString("\n## Alerts\n\n| alert | measures | fires | ms |\n|---|---:|---|---:|\n")
	for _, a := range alerts {
		begin := time.Now()
		value, err := sources.Measure(t.Context(), a, begin)
		if err != nil {
			t.Errorf("alert %q: %v", a.Title, err)
		}
		fires := "no"
		if a.Fires(value) {
			fires = "yes"
		}
		fmt.Fprintf(report, "| %s | %.4g | %s | %.1f |\n", a.Title, value, fires, time.Since(begin).Seconds()*1000)
	}
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

// A page opens as it is set up, not only with the range of these tests.
func TestMeshOpensEveryDashboard(t *testing.T) {
	sources := connect(t)
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards {
		if n, err := sources.Open(t.Context(), d, time.Now()); err != nil || n < len(d.Panels) {
			t.Errorf("%s: %d queries, %v", d.Title, n, err)
		}
	}
}

// Without the database of one domain its own panels say so, by their names, and the
// others stay; when it is back, all is well.
func TestMeshSaysWhichDatabaseIsAway(t *testing.T) {
	mesh, sources := meshtest.Running(t), connect(t)
	dashboards, err := Load(os.DirFS(generated))
	if err != nil {
		t.Fatal(err)
	}
	views := map[string]View{}
	for _, d := range dashboards {
		views[d.UID] = look(t, sources, d)
	}
	var away int
	for _, domain := range []struct{ server, database string }{{"sales-db", "sales_data"}, {"marketing-db", "marketing_data"}, {"sales-api-db", "sales_api"}} {
		super := mesh.Connect(domain.server, "postgres", topology.Superuser)
		t.Cleanup(func() { open(t, super, domain.database, true) })
		open(t, super, domain.database, false)
		for _, d := range dashboards {
			failed := map[string]bool{}
			for _, problem := range sources.Check(t.Context(), d, views[d.UID]) {
				failed[problem.Error()] = true
			}
			for _, p := range d.Panels {
				name, reads := fmt.Sprintf("panel %q of %s: ", p.Title, d.Title), false
				for _, q := range p.Queries {
					reads = reads || q.Source == domain.server
				}
				var says bool
				for problem := range failed {
					says = says || strings.HasPrefix(problem, name)
				}
				if says != reads {
					t.Errorf("without %s: %sit fails: %t, it reads it: %t", domain.database, name, says, reads)
				}
				if reads {
					away++
				}
			}
		}
		open(t, super, domain.database, true)
		sources = connect(t)
		for _, d := range dashboards {
			for _, problem := range sources.Check(t.Context(), d, views[d.UID]) {
				t.Errorf("%s is back: %v", domain.database, problem)
			}
		}
	}
	if away == 0 {
		t.Error("no panel reads a domain's database")
	}
}

// open lets grafana_ro into a database, or ends its sessions and lets nobody in.
func open(t *testing.T, super *pgx.Conn, database string, allow bool) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // at the end of the test, too
	if _, err := super.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %s ALLOW_CONNECTIONS %t`, database, allow)); err != nil {
		t.Error(err)
	}
	if allow {
		return
	}
	if _, err := super.Exec(ctx, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1 AND usename = $2`, database, topology.RoleGrafana); err != nil {
		t.Error(err)
	}
}

// On empty tables no panel, variable or alert fails, whatever it shows, and no alert
// fires that says something is too high.
func TestMeshTakesEmptyTables(t *testing.T) {
	mesh := meshtest.Running(t)
	sources := Sources{}
	for uid, s := range map[string]struct{ server, database, tables string }{
		"sales-db":     {"sales-db", "sales_data", "customers, orders"},
		"marketing-db": {"marketing-db", "marketing_data", "leads, campaigns CASCADE"},
		"sales-api-db": {"sales-api-db", "sales_api", "api_logs, metrics"},
		"marts": {"platform-db", "sales_analytics", "marts.mart_customer_journey, marts.mart_campaign_roi, marts.mart_sales_daily, marts.mart_executive_kpis, " +
			"ops.components, ops.databases, ops.dbt_results, ops.trino, ops.lake"},
	} {
		// Nobody else sees it, and it is never committed.
		tx, err := mesh.Connect(s.server, s.database, topology.Superuser).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
		for _, statement := range []string{`TRUNCATE ` + s.tables, `SET LOCAL ROLE ` + topology.RoleGrafana} {
			if _, err := tx.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		sources[uid] = savepoints{tx}
	}
	folder := os.DirFS(generated)
	dashboards, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	var ran, rows int
	for _, d := range dashboards {
		v := look(t, sources, d)
		for name, values := range v.Values {
			if len(values) > 0 {
				t.Errorf("variable %s of %s has values on empty tables: %v", name, d.Title, values)
			}
		}
		for _, p := range d.Panels {
			for _, q := range p.Queries {
				ran++
				table, err := sources.Run(t.Context(), q, v)
				if err != nil {
					t.Errorf("panel %q of %s: %v", p.Title, d.Title, err)
				}
				rows += len(table.Rows)
				if p.Type == "stat" && len(table.Rows) > 1 {
					t.Errorf("panel %q of %s shows %d figures", p.Title, d.Title, len(table.Rows))
				}
			}
		}
	}
	t.Logf("%d queries, %d rows", ran, rows)
	alerts, err := LoadAlerts(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		table, err := sources.Run(t.Context(), a.Query, View{From: time.Now().Add(-a.Range), To: time.Now(), Interval: time.Minute})
		if err != nil {
			t.Errorf("alert %q: %v", a.Title, err)
			continue
		}
		if len(table.Rows) == 0 { // Grafana says "no data", and does so by mail
			continue
		}
		// No lead at all is what the alert on stale ingest is for.
		if value, ok := table.Rows[0][0].(float64); !ok || a.Fires(value) != (a.UID == "ingest-stale") {
			t.Errorf("alert %q gives %v on empty tables", a.Title, table.Rows)
		}
	}
}

// savepoints keep a transaction going after a query that fails.
type savepoints struct{ pgx.Tx }

func (s savepoints) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if _, err := s.Exec(ctx, `SAVEPOINT query`); err != nil {
		if _, err := s.Exec(ctx, `ROLLBACK TO SAVEPOINT query`); err != nil {
			return nil, err
		}
	}
	return s.Tx.Query(ctx, sql, args...)
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
