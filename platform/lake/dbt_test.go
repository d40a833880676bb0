//go:build e2e

package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/bootstrap"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// transformation: the dbt project that "up" has built.
func (m *mesh) transformation(t *testing.T) {
	// Somebody looks at the marts all the time, as dashboards do.
	stop := m.watchMarts(t)
	t.Run("marts are right", m.martsAreRight)
	t.Run("rights", m.martRights)
	t.Run("documents", m.documents)
	t.Run("freshness", m.freshness)
	t.Run("faults in the data", m.dataFaults)
	t.Run("faults in the sources", m.sourceFaults)
	t.Run("faults in the models", m.modelFaults)
	t.Run("late events and renames", m.lateEventsAndRenames)
	t.Run("one build at a time", m.oneBuildAtATime)
	t.Run("refresh", m.refreshed)
	t.Run("a copy of one's own", m.ownCopy)
	stop()
}

func (m *mesh) analytics(t *testing.T) *pgx.Conn {
	return m.connect(t, "platform-db", "sales_analytics", topology.RoleAnalytics)
}

// text is the result of a statement as text, one row a line.
func text(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		var cells []string
		for _, v := range values {
			if v == nil {
				v = ""
			}
			cells = append(cells, fmt.Sprint(v))
		}
		return strings.Join(cells, ","), err
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return strings.Join(lines, "\n")
}

// alter runs statements of any kind.
func alter(t *testing.T, conn *pgx.Conn, statements string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// watchMarts reads two marts as Grafana does, in one statement, until stop,
// which fails when a statement did, or saw two builds.
func (m *mesh) watchMarts(t *testing.T) (stop func()) {
	conn := m.connect(t, "platform-db", "sales_analytics", topology.RoleGrafana)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	var failed error
	read, builds := 0, map[string]bool{}
	watching.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond) // the builds need the processors
		defer pace.Stop()
		for ctx.Err() == nil && failed == nil {
			<-pace.C
			var a, b string
			err := conn.QueryRow(ctx, `SELECT (SELECT min(build_id) FROM marts.mart_executive_kpis), (SELECT max(build_id) FROM marts.mart_customer_journey)`).Scan(&a, &b)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				failed = err
			case a != b:
				failed = fmt.Errorf("builds %s and %s in one statement", a, b)
			}
			read++
			builds[a] = true
		}
	})
	return func() {
		cancel()
		watching.Wait()
		if failed != nil || read < 100 || len(builds) < 3 {
			t.Errorf("of %d readings over %d builds: %v", read, len(builds), failed)
		}
		t.Logf("%d readings over %d builds", read, len(builds))
	}
}

// martsAreRight: one value per figure in PostgreSQL, Trino and the mart.
func (m *mesh) martsAreRight(t *testing.T) {
	analytics := m.analytics(t)
	verify := m.connect(t, "platform-db", topology.DatabaseVerify, topology.DatabaseVerify)
	if err := bootstrap.ImportForeignTables(t.Context(), verify); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	trino := func(statement string) string {
		t.Helper()
		got, err := m.ask(t, "\n"+statement) // a comment in front would be taken for a flag
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	q1 := trino("select count(*) from (" + read("../demo/q1.sql") + ")")
	q4 := trino("select count(*) from (" + read("../demo/q4.sql") + ")")
	oracle := text(t, verify, "select count(*) from ("+read("../demo/oracle/q4.sql")+") q")
	mart := trino("select count(*) from sales_analytics.marts.mart_customer_journey")
	t.Logf("Q1 %s, Q4 %s, Q4 of postgres_fdw %s, mart_customer_journey %s", q1, q4, oracle, mart)
	if q4 != oracle || q4 != mart || q4 == "0" || q1 == q4 {
		t.Error("they differ")
	}
	// And the very rows.
	rows := text(t, verify, "select customer_id, lead_id from ("+read("../demo/oracle/q4.sql")+") q (customer_id, email, revenue, lead_id, campaign_name) order by lead_id::bigint")
	if got := text(t, analytics, "select customer_id::text, lead_id::text from marts.mart_customer_journey m order by m.lead_id"); got != rows {
		t.Errorf("the mart holds\n%s\nQ4 is\n%s", got, rows)
	}

	for _, figures := range []struct{ oracle, live, mart string }{
		{read("testdata/kpis-oracle.sql"), read("testdata/kpis-trino.sql"),
			`SELECT kpi, window_days, value::text, previous_value::text FROM marts.mart_executive_kpis ORDER BY 1, 2`},
		{read("testdata/campaigns-oracle.sql"), read("testdata/campaigns-trino.sql"),
			`SELECT campaign_id, leads, conversion_rate::text, orders_attributed, revenue_attributed::text, roi::text FROM marts.mart_campaign_roi ORDER BY 1`},
		{`SELECT sum(total_amount)::text FROM sales.orders WHERE status = 'paid'`,
			`select cast(sum(total_amount) as varchar) from sales.public.orders where status = 'paid'`,
			`SELECT sum(revenue)::text FROM marts.mart_sales_daily`},
		{`SELECT sum(revenue)::text FROM sales.customers`,
			`select cast(sum(revenue) as varchar) from sales.public.customers`,
			`SELECT sum(revenue)::text FROM marts.mart_sales_daily`},
	} {
		want := text(t, verify, figures.oracle)
		if got := trino(figures.live); got != want {
			t.Errorf("Trino says\n%s\nPostgreSQL says\n%s", got, want)
		}
		if got := text(t, analytics, figures.mart); got != want {
			t.Errorf("the mart says\n%s\nPostgreSQL says\n%s", got, want)
		}
		if want == "" {
			t.Error("nothing to compare")
		}
		t.Log(want)
	}
}

// martRights: expected cells are written by hand.
func (m *mesh) martRights(t *testing.T) {
	for _, role := range []string{topology.RoleGrafana, "sarah"} {
		conn := m.connect(t, "platform-db", "sales_analytics", role)
		for table, allowed := range map[string]bool{
			"marts.mart_customer_journey": true, "marts.mart_campaign_roi": true, "marts.mart_sales_daily": true,
			"marts.mart_executive_kpis": true, "marts.mart_api_daily": true,
			"staging.stg_sales__customers": false, "staging.stg_marketing__leads": false, "marts_old.mart_sales_daily": false,
		} {
			_, err := conn.Exec(t.Context(), "SELECT * FROM "+table+" LIMIT 1")
			var refused *pgconn.PgError
			denied := errors.As(err, &refused) && refused.Code == "42501"
			// A table of marts_old may not be there; what counts is that nothing is read.
			if allowed && err != nil || !allowed && !denied {
				t.Errorf("%s reads %s: %v", role, table, err)
			}
		}
	}
	if got := text(t, m.analytics(t), `SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema IN ('marts', 'marts_next', 'marts_old') AND column_name ~ 'mail|phone|full_name|customer_name'`); got != "" {
		t.Errorf("personal columns: %s", got)
	}
	if got := text(t, m.analytics(t), `SELECT count(*) FROM marts.mart_customer_journey j WHERE j::text LIKE '%@%'`); got != "0" {
		t.Errorf("%s rows hold an address", got)
	}
}

func (m *mesh) documents(t *testing.T) {
	get := func(path string) (status int, header http.Header, body string) {
		t.Helper()
		resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(topology.PortDBTDocs+m.offset) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(b)
	}
	status, header, page := get("/")
	policy := header.Get("Content-Security-Policy")
	if status != http.StatusOK || !strings.Contains(page, "dbt Docs") || !strings.HasPrefix(policy, "default-src 'none'; script-src 'sha256-") || strings.Contains(policy, "unsafe-eval") {
		t.Errorf("%d %s", status, policy)
	}
	var catalog struct {
		Nodes map[string]struct{ Metadata struct{ Schema string } }
	}
	_, _, body := get("/catalog.json")
	if err := json.Unmarshal([]byte(body), &catalog); err != nil {
		t.Fatal(err)
	}
	if got := catalog.Nodes["model.datameesh.mart_customer_journey"].Metadata.Schema; got != "marts" || len(catalog.Nodes) < 9 {
		t.Errorf("%d tables, the journeys lie in %q", len(catalog.Nodes), got)
	}
	if status, _, _ := get("/run_results.json"); status != http.StatusNotFound {
		t.Errorf("run_results.json: %d", status)
	}
	_, _, manifest := get("/manifest.json")
	m.described(t, manifest)
}

// described: every model and column has a description and an enforced contract,
// every model an owner, every dashboard its marts.
func (m *mesh) described(t *testing.T, body string) {
	var manifest struct {
		Nodes map[string]struct {
			ResourceType string `json:"resource_type"`
			Name         string
			Description  string
			Group        string
			Config       struct{ Contract struct{ Enforced bool } }
			Columns      map[string]struct{ Description string }
		}
		Exposures map[string]struct {
			Label     string
			DependsOn struct{ Nodes []string } `json:"depends_on"`
		}
		UnitTests map[string]struct{} `json:"unit_tests"`
		Groups    map[string]struct{ Owner struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(body), &manifest); err != nil {
		t.Fatal(err)
	}
	models, tests := 0, 0
	for id, n := range manifest.Nodes {
		switch n.ResourceType {
		case "test":
			tests++
		case "model":
			models++
			if n.Description == "" || n.Group == "" || !n.Config.Contract.Enforced || len(n.Columns) == 0 ||
				manifest.Groups["group.datameesh."+n.Group].Owner.Name == "" {
				t.Errorf("%s: description %q, group %q, contract %t, %d columns", id, n.Description, n.Group, n.Config.Contract.Enforced, len(n.Columns))
			}
			for name, c := range n.Columns {
				if c.Description == "" {
					t.Errorf("%s.%s is not described", id, name)
				}
			}
		}
	}
	var labels []string
	for _, e := range manifest.Exposures {
		labels = append(labels, e.Label)
		if len(e.DependsOn.Nodes) == 0 {
			t.Errorf("dashboard %s depends on nothing", e.Label)
		}
	}
	slices.Sort(labels)
	if got := strings.Join(labels, ", "); got != "Customer Journey Analytics, Executive KPIs, Marketing Campaign ROI, Sales Performance" {
		t.Errorf("dashboards: %s", got)
	}
	t.Logf("%d models, %d data tests, %d unit tests", models, tests, len(manifest.UnitTests))
	if models <= 8 || tests <= 12 || len(manifest.UnitTests) == 0 {
		t.Error("fewer than the seed's")
	}
}

func (m *mesh) freshness(t *testing.T) {
	m.run(t, "dbt", "source", "freshness")
	sales := m.connect(t, "sales-db", "sales_data", topology.Superuser)
	alter(t, sales, `UPDATE mesh_meta SET as_of = as_of + 5`)
	t.Cleanup(func() { _, _ = sales.Exec(context.Background(), `UPDATE mesh_meta SET as_of = as_of - 5`) })
	out, _, err := m.try(t.Context(), "dbt", "source", "freshness")
	if code(err) != 1 || !strings.Contains(out, "ERROR STALE freshness of sales.orders") {
		t.Errorf("five days later: %v %s", err, out)
	}
}

func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// marts is what is published, to the byte.
func (m *mesh) marts(t *testing.T) string {
	t.Helper()
	conn := m.analytics(t)
	var all []string
	for name := range strings.Lines(text(t, conn, `SELECT tablename FROM pg_tables WHERE schemaname = 'marts' ORDER BY 1`)) {
		name = strings.TrimSpace(name)
		all = append(all, name+": "+text(t, conn, `SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM marts.`+name+` t`))
	}
	return strings.Join(all, "\n")
}

// failures are what failed in the last build: node to number of rows.
func (m *mesh) failures(t *testing.T) map[string]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state.Dir(m.home).DBT(), "target-marts_next", "run_results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var results struct {
		Results []struct {
			Status   string
			UniqueID string `json:"unique_id"`
			Failures int
		}
	}
	if err := json.Unmarshal(b, &results); err != nil {
		t.Fatal(err)
	}
	failed := map[string]int{}
	for _, r := range results.Results {
		if r.Status == "fail" || r.Status == "error" {
			failed[strings.Split(r.UniqueID, ".")[2]] = r.Failures
		}
	}
	return failed
}

// refused builds, which must fail by exactly these tests, each finding as many
// rows, and leave the marts as they are. 0 stands for a model.
func (m *mesh) refused(t *testing.T, program string, want map[string]int) {
	t.Helper()
	m.flush(t)
	before := m.marts(t)
	other := *m
	other.program = program
	begin := time.Now()
	out, said, err := other.try(t.Context(), "dbt", "build")
	if code(err) != 1 || !strings.Contains(said, "Nothing was published") {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	got := m.failures(t)
	for name, rows := range want {
		if n, ok := got[name]; !ok || n != rows {
			t.Errorf("%s was to find %d, found %d (%t)", name, rows, n, ok)
		}
	}
	for name, rows := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s found %d, which nobody planted for it", name, rows)
		}
	}
	if after := m.marts(t); after != before {
		t.Errorf("the marts changed from\n%s\nto\n%s", before, after)
	}
	t.Logf("%d faults found in %.0f s", len(got), time.Since(begin).Seconds())
}

// flush has Trino read anew how the domains' tables look: it keeps that for a minute.
func (m *mesh) flush(t *testing.T) {
	t.Helper()
	for _, catalog := range []string{"sales", "marketing", "sales_api"} {
		m.must(t, "call "+catalog+".system.flush_metadata_cache()")
	}
}

// A fault is planted in a domain's database past its constraints.
type fault struct {
	server, database string
	plant, remove    string
	test             string // that claims it
	rows             int    // that it finds
}

// plant plants faults by their order, and removes them in reverse when the test ends.
func (m *mesh) plant(t *testing.T, faults []fault) map[string]int {
	t.Helper()
	conns := map[string]*pgx.Conn{}
	claimed := map[string]int{}
	for _, f := range faults {
		if conns[f.server] == nil {
			conns[f.server] = m.connect(t, f.server, f.database, topology.Superuser)
			// No triggers, foreign keys among them.
			alter(t, conns[f.server], `SET session_replication_role = replica`)
		}
		conn := conns[f.server]
		alter(t, conn, f.plant)
		t.Cleanup(func() {
			if _, err := conn.Exec(context.Background(), f.remove); err != nil {
				t.Errorf("%s: %v", f.remove, err)
			}
		})
		if _, twice := claimed[f.test]; twice && f.test != "" {
			t.Fatalf("%s claims two faults", f.test)
		}
		claimed[f.test] = f.rows
	}
	return claimed
}

const (
	sales     = "sales-db"
	marketing = "marketing-db"
	salesAPI  = "sales-api-db"
)

// constraint drops a constraint, and puts it back.
func constraint(server, database, table, name, definition string) fault {
	return fault{server, database, `ALTER TABLE ` + table + ` DROP CONSTRAINT ` + name, `ALTER TABLE ` + table + ` ADD CONSTRAINT ` + name + ` ` + definition, "", 0}
}

func (m *mesh) dataFaults(t *testing.T) {
	order := func(id int, columns, values, test string) fault {
		return fault{sales, "sales_data",
			fmt.Sprintf(`INSERT INTO orders (order_id, customer_id, status, total_amount%s) SELECT %d, min(customer_id), 'pending', 10%s FROM customers`, columns, id, values),
			fmt.Sprintf(`DELETE FROM orders WHERE order_id = %d`, id), test, 1}
	}
	change := func(id int, set, test string) fault {
		f := order(id, "", "", test)
		f.plant += fmt.Sprintf(`; UPDATE orders SET %s WHERE order_id = %d`, set, id)
		return f
	}
	lead := func(id int, set, test string) fault {
		return fault{marketing, "marketing_data",
			fmt.Sprintf(`INSERT INTO leads (lead_id, email, full_name, source, campaign_id, campaign_name, created_at)
				SELECT %[1]d, 'planted-%[1]d@example.org', 'Planted', 'Website', campaign_id, campaign_name, now() FROM campaigns ORDER BY 2 LIMIT 1;
				UPDATE leads SET %[2]s WHERE lead_id = %[1]d`, id, set),
			fmt.Sprintf(`DELETE FROM leads WHERE lead_id BETWEEN %d AND %d`, id, id+9), test, 1}
	}
	faults := []fault{
		order(900001, "", "", ""), // only a good one: nothing finds it
		change(900002, "customer_id = 987654321", "orders_have_a_customer"),
		change(900003, "total_amount = -10", "orders_have_a_positive_amount"),
		// Written as if it were local time, five hours ahead.
		change(900004, "ordered_at = updated_at + interval '5 hours'", "orders_are_changed_after_they_are_made"),
		change(900005, "status = 'lost'", "accepted_values_stg_sales__orders_status__pending__paid__cancelled__refunded"),
		{sales, "sales_data", `INSERT INTO customers (customer_id, customer_name, email, region, segment) VALUES
				(900001, 'a', 'Twice@example.org', 'EMEA', 'Consumer'), (900002, 'b', ' twice@example.org', 'EMEA', 'Consumer')`,
			`DELETE FROM customers WHERE customer_id IN (900001, 900002)`, "unique_stg_sales__customers_email", 1},
		{sales, "sales_data", `INSERT INTO customers (customer_id, customer_name, email, region, segment) VALUES (900003, 'c', 'moon@example.org', 'MOON', 'Consumer')`,
			`DELETE FROM customers WHERE customer_id = 900003`, "accepted_values_stg_sales__customers_region__AMER__APAC__EMEA__LATAM", 1},
		{marketing, "marketing_data", lead(900010, "score = 1", "").plant + `; INSERT INTO leads SELECT * FROM leads WHERE lead_id = 900010`,
			`DELETE FROM leads WHERE lead_id = 900010`, "unique_stg_marketing__leads_lead_id", 1},
		lead(900020, "email = NULL", "not_null_stg_marketing__leads_email"),
		lead(900030, "campaign_id = 987654321", "leads_have_a_campaign"),
		lead(900040, "status = 'converted'", "converted_leads_say_when"),
		lead(900050, "status = 'converted', converted_at = created_at - interval '1 day'", "leads_are_converted_after_they_came"),
		lead(900060, "score = 101", "scores_are_0_to_100"),
		lead(900070, "source = 'Rumour'", "accepted_values_stg_marketing__leads_source__Event__Import__Partner__Phone__Website"),
		lead(900080, "campaign_name = 'Another'", "leads_name_their_campaign"),
		{marketing, "marketing_data", `INSERT INTO campaigns (campaign_id, campaign_name, channel, budget, spend, starts_on) VALUES (900001, 'Planted', 'Email', 1, -1, '2026-01-01')`,
			`DELETE FROM campaigns WHERE campaign_id = 900001`, "spend_is_not_negative", 1},
		{salesAPI, "sales_api", `INSERT INTO api_logs (log_id, served_at, service, route, method, status, duration_us, response_bytes)
				VALUES (900001, now() + interval '1 day', 'sales-api', '/v1/orders', 'GET', 200, 1, 1)`,
			`DELETE FROM api_logs WHERE log_id = 900001`, "requests_are_not_in_the_future", 1},
		{salesAPI, "sales_api", `INSERT INTO api_logs (log_id, served_at, service, route, method, status, duration_us, response_bytes)
				VALUES (900002, now(), 'sales-api', '/v1/customers?email=a@example.org', 'GET', 200, 1, 1)`,
			`DELETE FROM api_logs WHERE log_id = 900002`, "routes_are_templates", 1},
	}
	claimed := m.plant(t, append([]fault{
		constraint(sales, "sales_data", "orders", "orders_total_amount_check", "CHECK (total_amount > 0)"),
		constraint(sales, "sales_data", "orders", "orders_status_check", "CHECK (status IN ('pending', 'paid', 'cancelled', 'refunded'))"),
		constraint(sales, "sales_data", "customers", "customers_region_check", "CHECK (region IN ('AMER', 'APAC', 'EMEA', 'LATAM'))"),
		{sales, "sales_data", `DROP INDEX customers_email_key`, `CREATE UNIQUE INDEX customers_email_key ON customers (lower(btrim(email)))`, "", 0},
		{marketing, "marketing_data", `ALTER TABLE leads ALTER COLUMN email DROP NOT NULL`, `ALTER TABLE leads ALTER COLUMN email SET NOT NULL`, "", 0},
		constraint(marketing, "marketing_data", "leads", "leads_converted_check", "CHECK ((status = 'converted') = (converted_at IS NOT NULL))"),
		constraint(marketing, "marketing_data", "leads", "leads_check", "CHECK (converted_at >= created_at)"),
		constraint(marketing, "marketing_data", "leads", "leads_score_check", "CHECK (score BETWEEN 0 AND 100)"),
		constraint(marketing, "marketing_data", "leads", "leads_source_check", "CHECK (source IN ('Event', 'Import', 'Partner', 'Phone', 'Website'))"),
		constraint(marketing, "marketing_data", "campaigns", "campaigns_spend_check", "CHECK (spend >= 0)"),
		// Its foreign key goes with it, and must be back before it.
		{marketing, "marketing_data", `ALTER TABLE lead_dead_letters DROP CONSTRAINT lead_dead_letters_lead_id_fkey; ALTER TABLE leads DROP CONSTRAINT leads_pkey`,
			`ALTER TABLE leads ADD CONSTRAINT leads_pkey PRIMARY KEY (lead_id); ALTER TABLE lead_dead_letters ADD CONSTRAINT lead_dead_letters_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES leads (lead_id)`, "", 0},
	}, faults...))
	delete(claimed, "")
	if len(claimed) < 12 {
		t.Errorf("%d faults", len(claimed))
	}
	m.refused(t, m.program, claimed)
}

// sourceFaults: a source holds what it must not, is empty, changes a type, loses a column.
func (m *mesh) sourceFaults(t *testing.T) {
	// A test of sources that fails keeps dbt from building what reads all of them.
	t.Run("values", func(t *testing.T) {
		claimed := m.plant(t, []fault{
			constraint(sales, "sales_data", "orders", "orders_currency_check", "CHECK (currency = 'USD')"),
			{sales, "sales_data", `INSERT INTO orders (order_id, customer_id, status, total_amount, currency) SELECT 900006, min(customer_id), 'pending', 10, 'EUR' FROM customers`,
				`DELETE FROM orders WHERE order_id = 900006`, "orders_are_in_dollars", 1},
			{sales, "sales_data", `UPDATE customers SET revenue = revenue + 1 WHERE customer_id = (SELECT min(customer_id) FROM customers)`,
				`UPDATE customers SET revenue = revenue - 1 WHERE customer_id = (SELECT min(customer_id) FROM customers)`, "customers_revenue_is_that_of_their_orders", 1},
		})
		delete(claimed, "")
		m.refused(t, m.program, claimed)
	})
	t.Run("shapes", func(t *testing.T) {
		m.refused(t, m.program, m.plant(t, []fault{
			{salesAPI, "sales_api", `CREATE TABLE kept AS TABLE api_logs; TRUNCATE api_logs`,
				`TRUNCATE api_logs; INSERT INTO api_logs OVERRIDING SYSTEM VALUE TABLE kept; DROP TABLE kept`, "there_are_requests", 1},
			{marketing, "marketing_data", `ALTER TABLE campaigns ALTER COLUMN starts_on TYPE timestamp`, `ALTER TABLE campaigns ALTER COLUMN starts_on TYPE date`, "stg_marketing__campaigns", 0},
			{sales, "sales_data", `ALTER TABLE customers RENAME COLUMN segment TO sector`, `ALTER TABLE customers RENAME COLUMN sector TO segment`, "stg_sales__customers", 0},
			// The same column, seen by the other model that reads it.
			{sales, "sales_data", `SELECT 1`, `SELECT 1`, "stg_sales__orders", 0},
		}))
	})
}

// modelFaults: joins that fan out and sums of the wrong rows, planted in the
// mesh's copy of the project, which the mesh's own program does not renew.
func (m *mesh) modelFaults(t *testing.T) {
	d := state.Dir(m.home)
	edit := func(path, from, to string) {
		t.Helper()
		path = filepath.Join(d.Project(), path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(b), from) != 1 {
			t.Fatalf("%s does not hold %q once", path, from)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("sales/models/marts/mart_sales_daily.sql", "filter (where status = 'paid')", "filter (where status <> 'cancelled')")
	// Leads by campaign and status instead of by campaign: a row for each status.
	edit("marketing/models/marts/mart_campaign_roi.sql", "group by campaign_id\n),\norders", "group by campaign_id, status\n),\norders")
	// The unit test sees it too, and first; here the test on the data is meant.
	edit("marketing/models/marts/marts.yml", "  - name: leads_and_orders_do_not_multiply", "  - name: leads_and_orders_do_not_multiply\n    config: {enabled: false}")
	days := text(t, m.connect(t, sales, "sales_data", "sales_owner"), `SELECT count(DISTINCT (ordered_at AT TIME ZONE 'UTC')::date) FROM orders WHERE status NOT IN ('paid', 'cancelled')`)
	wrong, err := strconv.Atoi(days)
	if err != nil {
		t.Fatal(err)
	}
	campaigns, err := strconv.Atoi(text(t, m.connect(t, marketing, "marketing_data", "marketing_owner"), `SELECT count(*) FROM (SELECT campaign_id FROM leads GROUP BY 1 HAVING count(DISTINCT status) > 1) c`))
	if err != nil {
		t.Fatal(err)
	}
	m.refused(t, filepath.Join(d.Bin(), "meesh"), map[string]int{
		"sales_daily_is_all_of_the_revenue":            wrong,
		"campaign_roi_counts_each_lead_and_order_once": 1,
		"unique_mart_campaign_roi_campaign_id":         campaigns,
	})
}

// lateEventsAndRenames: a request that comes days late is in the marts, a full
// refresh gives the same; a campaign and a mart change their names.
func (m *mesh) lateEventsAndRenames(t *testing.T) {
	sum := func() string {
		t.Helper()
		conn := m.analytics(t)
		return text(t, conn, `SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY log_id)) FROM staging.stg_sales_api__requests t`) + "\n" +
			text(t, conn, `SELECT count(*), sum(requests), md5(string_agg((to_jsonb(t) - 'build_id')::text, ' ' ORDER BY served_on, service, route, method)) FROM marts.mart_api_daily t`)
	}
	m.flush(t)
	m.run(t, "dbt", "build") // the faults are gone
	before, builds := sum(), text(t, m.analytics(t), `SELECT count(DISTINCT build_id) FROM marts.mart_api_daily`)
	logs := m.connect(t, salesAPI, "sales_api", topology.Superuser)
	alter(t, logs, `INSERT INTO api_logs (log_id, served_at, service, route, method, status, duration_us, response_bytes)
		SELECT 900010, min(served_at) + interval '3 days', 'sales-api', '/late', 'GET', 200, 1, 1 FROM api_logs`)
	t.Cleanup(func() { _, _ = logs.Exec(context.Background(), `DELETE FROM api_logs WHERE log_id = 900010`) })
	// The first day leaves the log, as retention does it.
	alter(t, logs, `CREATE TABLE kept AS SELECT * FROM api_logs WHERE served_at < (SELECT date_trunc('day', min(served_at), 'UTC') + interval '1 day' FROM api_logs);
		DELETE FROM api_logs WHERE log_id IN (SELECT log_id FROM kept)`)
	t.Cleanup(func() {
		_, _ = logs.Exec(context.Background(), `INSERT INTO api_logs OVERRIDING SYSTEM VALUE TABLE kept; DROP TABLE kept`)
	})
	campaigns := m.connect(t, marketing, "marketing_data", topology.Superuser)
	alter(t, campaigns, `UPDATE campaigns SET campaign_name = 'Renamed' WHERE campaign_id = 1`)
	// And a mart gets another name, in the mesh's copy of the project.
	d := state.Dir(m.home)
	models := filepath.Join(d.Project(), "sales/models/marts")
	old, err := os.ReadFile(filepath.Join(models, "mart_sales_daily.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(models, "mart_sales_daily.sql"), append([]byte("{{ config(alias='mart_sales_by_day') }}\n"), old...), 0o644); err != nil {
		t.Fatal(err)
	}
	own := *m
	own.program = filepath.Join(d.Bin(), "meesh")
	own.run(t, "dbt", "build")
	late := sum()
	if late == before {
		t.Error("the late request is not in the marts")
	}
	analytics := m.analytics(t)
	if got := text(t, analytics, `SELECT requests FROM marts.mart_api_daily WHERE route = '/late'`); got != "1" {
		t.Errorf("late requests: %q", got)
	}
	if after := text(t, analytics, `SELECT count(DISTINCT build_id) FROM marts.mart_api_daily`); after == builds && builds == "1" {
		t.Error("all days were computed again")
	}
	if got := text(t, analytics, `SELECT campaign_name FROM marts.mart_campaign_roi WHERE campaign_id = 1`); got != "Renamed" {
		t.Errorf("the campaign is called %q", got)
	}
	if got := text(t, analytics, `SELECT schemaname || '.' || tablename FROM pg_tables WHERE tablename LIKE 'mart_sales_%' AND schemaname <> 'marts_next' ORDER BY 1`); got != "marts.mart_sales_by_day\nmarts_old.mart_sales_daily" {
		t.Errorf("after the mart was renamed: %s", got)
	}
	m.run(t, "dbt", "build", "--full-refresh") // with the project of the clone
	if full := sum(); full != late {
		t.Errorf("a full refresh gives\n%s\nincremental was\n%s", full, late)
	}
	if got := text(t, analytics, `SELECT count(*) FROM pg_tables WHERE schemaname = 'marts' AND tablename = 'mart_sales_daily'`); got != "1" {
		t.Error("the mart did not get its name back")
	}
}

func (m *mesh) oneBuildAtATime(t *testing.T) {
	var both sync.WaitGroup
	said := make([]string, 2)
	for i := range said {
		both.Go(func() {
			_, text, err := m.try(t.Context(), "dbt", "build", "--select", "mart_campaign_roi")
			if err != nil {
				t.Errorf("%v %s", err, text)
			}
			said[i] = text
		})
	}
	both.Wait()
	waited := strings.Count(strings.Join(said, ""), "is at work; waiting for it")
	if waited != 1 {
		t.Errorf("%d of two waited: %q", waited, said)
	}
}

// refreshed: the marts are built anew while the mesh runs, and by an up that finds other data.
func (m *mesh) refreshed(t *testing.T) {
	conn := m.analytics(t)
	build := func() string { return text(t, conn, `SELECT max(build_id) FROM marts.mart_executive_kpis`) }
	before := build()
	m.run(t, "up", "--refresh", "10s")
	for deadline := time.Now().Add(patience); build() == before; {
		if time.Now().After(deadline) {
			_, said, _ := m.try(t.Context(), "logs", "dbt-refresh")
			t.Fatalf("not refreshed: %s", said)
		}
		time.Sleep(time.Second) // what is waited for takes half a minute
	}
	m.run(t, "up", "--refresh", "0")
	if out, _ := m.run(t, "status"); strings.Contains(out, "dbt-refresh") {
		t.Error("it goes on")
	}
	// Nothing changed since: up builds nothing.
	before = build()
	m.run(t, "up")
	if build() != before {
		t.Error("up built what was current")
	}
	// Seeded anew, and the next up builds.
	sales := m.connect(t, "sales-db", "sales_data", topology.Superuser)
	alter(t, sales, `UPDATE mesh_meta SET seeded_at = seeded_at + interval '1 second'`)
	m.run(t, "up")
	if build() == before {
		t.Error("up built nothing after the data had changed")
	}
}

// ownCopy: the seed's commands in a writable copy; target dev is a schema in the lake.
func (m *mesh) ownCopy(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "dbt_projects")
	_, said := m.run(t, "dbt", "copy", folder)
	_, path, _ := strings.Cut(said, "PATH=")
	path, _, _ = strings.Cut(path, ":")
	before := m.marts(t)
	for _, args := range []string{"run --profiles-dir .", "run --models mart_*", "run --full-refresh --select mart_api_daily+", "test --select mart_sales_daily+", "docs generate"} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(path, "dbt"), strings.Fields(args)...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dbt %s: %v\n%s", args, err, out)
		}
	}
	m.want(t, "select count(*) from lake.dev_mike.mart_customer_journey", text(t, m.analytics(t), `SELECT count(*) FROM marts.mart_customer_journey`))
	if m.marts(t) != before {
		t.Error("target dev wrote what everybody reads")
	}
	for table := range strings.Lines(func() string { s, _ := m.ask(t, "show tables from lake.dev_mike"); return s }()) {
		if _, err := m.ask(t, "drop table lake.dev_mike."+strings.TrimSpace(table)); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.ask(t, "drop schema lake.dev_mike"); err != nil {
		t.Error(err)
	}
}
