//go:build e2e

package lake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/minio/minio-go/v7"

	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// An asker asks Trino in the name of people, without a process for each question.
type asker struct {
	t       *testing.T
	address string
	ca      []byte
	store   *secrets.Store
	clients map[string]*query.Client
}

func (m *mesh) asker(t *testing.T) *asker {
	t.Helper()
	store, err := secrets.Open(state.Dir(m.home).Secrets())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := store.CA()
	if err != nil {
		t.Fatal(err)
	}
	a := &asker{t, net.JoinHostPort("localhost", strconv.Itoa(topology.PortTrino+m.offset)), ca, store, map[string]*query.Client{}}
	t.Cleanup(func() {
		for _, c := range a.clients {
			_ = c.Close()
		}
	})
	return a
}

func (a *asker) client(person string, session map[string]string) *query.Client {
	a.t.Helper()
	password, err := a.store.Person(person)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := query.New(query.Config{Address: a.address, CA: a.ca, User: person, Password: password, Source: "test", Session: session})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// ask gives the outcome: the rows as text, or Trino's name of the error.
func (a *asker) ask(person, statement string) string {
	a.t.Helper()
	c := a.clients[person]
	if c == nil {
		c = a.client(person, nil)
		a.clients[person] = c
	}
	return outcome(a.t, c, person, statement)
}

func outcome(t *testing.T, c *query.Client, person, statement string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rows, err := c.Texts(ctx, statement)
	if failed, ok := errors.AsType[*query.Error](err); ok {
		return failed.Name
	}
	if err != nil {
		t.Fatalf("%s: %s: %v", person, statement, err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Join(r, ","))
	}
	return strings.Join(lines, "\n")
}

// Who is asked for, in the order of the cells below. dana is a second data
// scientist, added by the test; the last four are programs.
var askers = []string{"alex", "dana", "sarah", "mike", "emma", "sam", "mia", "dbt", "lake", "collector", "verify"}

// A matrixRow is one question, and by hand for each asker what they get: "-" is
// refused, "d" is refused by the database behind the catalog, any other letter is
// the answer of that name.
type matrixRow struct {
	what, statement, cells string
	answers                map[string]string
}

const (
	denied   = "PERMISSION_DENIED"
	database = "JDBC_ERROR"
)

// access: who may do what, asked of the running server. It ends without dana.
func (m *mesh) access(t *testing.T) {
	const dana = "dana"
	trino := m.pid(t, "trino")
	m.run(t, "user", "add", dana, "--group", "data_science", "--does", "a second data scientist")
	a := m.asker(t)
	facts := m.facts(t)

	// What the rows below look at.
	for _, statement := range []string{
		"create schema if not exists hive.secret",
		"drop table if exists hive.secret.t",
		"create table hive.secret.t as select email from sales.public.customers",
		"create or replace view lake.sales.people_invoker security invoker as select * from sales.public.customers",
		"create or replace view lake.sales.people_definer security definer as select * from sales.public.customers",
	} {
		if _, err := m.ask(t, statement); err != nil {
			t.Fatal(err)
		}
	}
	for person, statements := range map[string][]string{
		"alex": {"create schema if not exists lake.dev_alex", "create table lake.dev_alex.t as select 1 as n"},
		dana:   {"create schema if not exists lake.dev_dana", "create or replace view lake.dev_dana.v as select email from sales.public.customers"},
	} {
		for _, statement := range statements {
			if got := a.ask(person, statement); strings.Contains(got, "_") {
				t.Fatalf("%s: %s: %s", person, statement, got)
			}
		}
	}
	m.matrix(t, a, facts)
	t.Run("masks", func(t *testing.T) { maskedValues(t, a, facts) })
	t.Run("limits", func(t *testing.T) { limits(t, a) })
	t.Run("queries of others", func(t *testing.T) { queriesOfOthers(t, a) })
	t.Run("files", func(t *testing.T) { m.filesAroundTrino(t, a) })
	t.Run("databases", func(t *testing.T) { m.directly(t, facts) })
	t.Run("refusals say why", func(t *testing.T) {
		_, said, err := m.try(t.Context(), "query", "--as", "sarah", "select * from sales.public.customers")
		if err == nil || !strings.Contains(said, "analysts") || !strings.Contains(said, "read the marts") {
			t.Errorf("sarah is told %q (%v)", said, err)
		}
	})

	for _, statement := range []string{
		"drop view lake.sales.people_invoker", "drop view lake.sales.people_definer", "drop table hive.secret.t", "drop schema hive.secret",
		"drop view lake.dev_dana.v", "drop schema lake.dev_dana", "drop table lake.dev_alex.t", "drop schema lake.dev_alex",
	} {
		if _, err := m.ask(t, statement); err != nil {
			t.Error(err)
		}
	}
	t.Run("people come and go", func(t *testing.T) { m.comeAndGo(t, a) })
	if now := m.pid(t, "trino"); now != trino {
		t.Errorf("Trino was restarted: process %d, then %d", trino, now)
	}
}

// matrix asks every question in the name of everybody.
func (m *mesh) matrix(t *testing.T, a *asker, f facts) {
	const hash = "'^[0-9a-f]{64}$'"
	yes := map[string]string{"r": "true"}
	// answer of a statement that changes something.
	changed := map[string]string{"r": ""}
	rows := []matrixRow{
		// askers:                   alex dana sarah mike emma sam mia dbt lake collector verify
		{"customers", "SELECT count(*) FROM sales.public.customers", "rr-r-rfrr-r",
			map[string]string{"r": f.text("customers"), "f": f.text("customers of EMEA")}},
		{"customers.email", "SELECT count_if(regexp_like(email, " + hash + ")), count_if(email LIKE '%@%') FROM sales.public.customers", "rh-r-rfrr-r",
			map[string]string{"r": "0," + f.text("customers"), "h": f.text("customers") + ",0", "f": "0," + f.text("customers of EMEA")}},
		{"customers.phone", "SELECT count_if(regexp_like(phone, " + hash + ")), count_if(phone = '') FROM sales.public.customers", "hh-r-rfrr-r",
			map[string]string{"r": "0," + f.text("without phone"), "h": f.text("with phone") + "," + f.text("without phone"),
				"f": f.text("with phone of EMEA") + "," + f.text("without phone of EMEA")}},
		{"customers.region", "SELECT array_join(array_sort(array_agg(DISTINCT region)), ' ') FROM sales.public.customers", "rr-r-rfrr-r",
			map[string]string{"r": "AMER APAC EMEA LATAM", "f": "EMEA"}},
		{"orders", "SELECT count(*) FROM sales.public.orders", "rr-r-rfrr-r",
			map[string]string{"r": f.text("orders"), "f": f.text("orders of EMEA")}},
		{"a customer of another region by key", "SELECT count(*) FROM sales.public.customers WHERE customer_id = (SELECT min(customer_id) FROM lake.sales.orders)", "rr-r---rr--",
			map[string]string{"r": "1"}},
		{"leads", "SELECT count(*) FROM marketing.public.leads", "rr-r-rfrr-r",
			map[string]string{"r": f.text("leads"), "f": f.text("leads of EMEA or nowhere")}},
		{"leads.email", "SELECT count_if(regexp_like(email, " + hash + ")), count_if(email LIKE '%@%') FROM marketing.public.leads", "rh-r-rfrr-r",
			map[string]string{"r": "0," + f.text("leads"), "h": f.text("leads") + ",0", "f": "0," + f.text("leads of EMEA or nowhere")}},
		{"campaigns", "SELECT count(*) FROM marketing.public.campaigns", "rr-r-rrrr-r", map[string]string{"r": "9"}},
		{"Q1, joined as given", "SELECT count(*) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email", "rh-r-rfrr-r",
			map[string]string{"r": f.text("Q1"), "h": f.text("Q1 normalised"), "f": f.text("Q1 of EMEA")}},
		{"joined on normalised addresses", "SELECT count(*) FROM sales.public.customers s JOIN marketing.public.leads m ON lower(trim(s.email)) = lower(trim(m.email))", "rr-r-rfrr-r",
			map[string]string{"r": f.text("Q1 normalised"), "f": f.text("Q1 normalised of EMEA")}},
		{"request log", "SELECT count(*) >= 0 FROM sales_api.public.api_logs", "rr-r---rr-r", yes},
		{"request log of marketing", "SELECT count(*) >= 0 FROM marketing_api.public.api_logs", "rr-r---rr-r", yes},
		{"a mart", "SELECT count(*) > 0 FROM sales_analytics.marts.mart_campaign_roi", "rrrrrrrrr-r", yes},
		{"a mart by region", "SELECT array_join(array_sort(array_agg(DISTINCT region)), ' ') FROM sales_analytics.marts.mart_sales_daily", "rrrrrrfrr-r",
			map[string]string{"r": "AMER APAC EMEA LATAM", "f": "EMEA"}},
		{"a mart by customer", "SELECT count(*) FROM sales_analytics.marts.mart_customer_journey", "rrrrrrfrr-r",
			map[string]string{"r": f.text("journeys"), "f": f.text("journeys of EMEA")}},
		{"a mart joined with its source", "SELECT count(*) FROM sales_analytics.marts.mart_customer_journey j JOIN sales.public.customers c USING (customer_id)", "rr-r-rfrr-r",
			map[string]string{"r": f.text("journeys"), "f": f.text("journeys of EMEA")}},
		{"staging", "SELECT count(*) > 0 FROM sales_analytics.staging.stg_sales__customers", "---r---rr--", yes},
		{"figures of the platform", "SELECT count(*) >= 0 FROM sales_analytics.ops.dbt_results", "---r---rr--", yes},
		{"the lake", "SELECT count(*) > 0 FROM lake.sales.orders", "rr-r---rrr-", yes},
		{"files of a table in the lake", `SELECT count(*) > 0 FROM lake.sales."orders$files"`, "rr-r---rrr-", yes},
		{"exported and live rows", "SELECT count(*) > 0 FROM lake.sales.orders_all", "rr-r---rr--", yes},
		{"phones through a view that asks as its reader", "SELECT count_if(regexp_like(phone, " + hash + ")) > 0 FROM lake.sales.people_invoker", "rr-n---nn--",
			map[string]string{"r": "true", "n": "false"}},
		{"phones through a view that an engineer published", "SELECT count_if(regexp_like(phone, " + hash + ")) > 0 FROM lake.sales.people_definer", "nn-n---nnn-",
			map[string]string{"n": "false"}},
		{"a view of dana's", "SELECT count_if(email LIKE '%@%') FROM lake.dev_dana.v", "-h---------", map[string]string{"h": "0"}},
		{"the raw lake", "SELECT count(*) FROM hive.secret.t", "---r----r--", map[string]string{"r": f.text("customers")}},
		{"alex's table", "SELECT n FROM lake.dev_alex.t", "r--r---rrr-", map[string]string{"r": "1"}},
		{"the key of the hashes", "SELECT count(*) FROM sales.masking.key", "-----------", nil},
		{"the key beside leads", "SELECT count(*) FROM marketing.masking.key", "-----------", nil},
		{"tasks of all queries", "SELECT count(*) > 0 FROM system.runtime.tasks", "---r-------", yes},
		{"nodes", "SELECT count(*) > 0 FROM system.runtime.nodes", "rrrrrrrrrrr", yes},
		{"a table function", "SELECT count(*) FROM TABLE(sequence(1, 10))", "rrrrrrrrrrr", map[string]string{"r": "10"}},

		// Around the rules.
		{"a statement passed on", "SELECT * FROM TABLE(sales.system.query(query => 'SELECT count(*) FROM customers'))", "-----------", nil},
		{"a statement passed on to the marts", "SELECT * FROM TABLE(sales_analytics.system.query(query => 'SELECT 1 AS n'))", "-----------", nil},
		{"a statement carried out", "CALL sales_analytics.system.execute(query => 'DELETE FROM marts.mart_campaign_roi')", "-----------", nil},
		{"statistics of a table", "SHOW STATS FOR sales.masking.key", "-----------", nil},

		// Writing.
		{"insert a customer", "INSERT INTO sales.public.customers (customer_id) VALUES (-1)", "---d-d-----", nil},
		{"update orders", "UPDATE sales.public.orders SET status = 'paid' WHERE order_id = -1", "---d-d-----", nil},
		{"delete leads", "DELETE FROM marketing.public.leads WHERE lead_id = -1", "---d-------", nil},
		{"make a table in sales", "CREATE TABLE sales.public.planted (i integer)", "---d-d-----", nil},
		{"make a schema in sales", "CREATE SCHEMA sales.planted", "---d-------", nil},
		{"drop leads", "DROP TABLE marketing.public.leads", "---d-------", nil},
		{"delete a mart", "DELETE FROM sales_analytics.marts.mart_campaign_roi WHERE campaign_id = -1", "---r---r---", map[string]string{"r": "0"}},
		{"make a schema in the lake", "CREATE SCHEMA IF NOT EXISTS lake.sales", "---r----r--", changed},
		{"make dev_alex", "CREATE SCHEMA IF NOT EXISTS lake.dev_alex", "r--r----r--", changed},
		{"write alex's table", "DELETE FROM lake.dev_alex.t WHERE n = -1", "r--r----r--", map[string]string{"r": "0"}},
		{"make a schema in hive", "CREATE SCHEMA IF NOT EXISTS hive.secret", "---r----r--", changed},
		{"make the schema of uploads", "CREATE SCHEMA IF NOT EXISTS uploads.analytics WITH (location = 's3://datalake/analytics/tables')", "rr-r-------", changed},
		{"grant to others", "GRANT SELECT ON sales.public.customers TO USER emma", "---n-n-----", map[string]string{"n": "NOT_SUPPORTED"}},
		{"catalogs", "SELECT array_join(array_sort(array_agg(catalog_name)), ' ') FROM system.metadata.catalogs", "ddaeasmtlcv",
			map[string]string{
				"d": "hive lake marketing marketing_api sales sales_analytics sales_api system uploads",
				"a": "sales_analytics system",
				"e": "hive lake marketing marketing_api sales sales_analytics sales_api system uploads",
				"s": "marketing sales sales_analytics system",
				"m": "marketing sales sales_analytics system",
				"t": "lake marketing marketing_api sales sales_analytics sales_api system",
				"l": "hive lake marketing marketing_api sales sales_analytics sales_api system",
				"c": "lake system",
				"v": "marketing marketing_api sales sales_analytics sales_api system",
			}},
	}
	cells := 0
	for _, r := range rows {
		if len(r.cells) != len(askers) {
			t.Fatalf("%s: %d cells for %d askers", r.what, len(r.cells), len(askers))
		}
		for i, person := range askers {
			cells++
			cell := r.cells[i : i+1]
			want, named := r.answers[cell]
			switch {
			case named:
			case cell == "-":
				want = denied
			case cell == "d":
				want = database
			default:
				t.Fatalf("%s: no answer is called %s", r.what, cell)
			}
			if got := a.ask(person, r.statement); got != want {
				t.Errorf("%s, %s (%s): %q, want %q", person, r.what, r.statement, got, want)
			}
		}
	}
	t.Logf("%d cells", cells)
}

// facts are figures of the data, asked of PostgreSQL without Trino.
type facts map[string]int

func (f facts) text(name string) string {
	n, ok := f[name]
	if !ok {
		panic("no fact is called " + name)
	}
	return strconv.Itoa(n)
}

func (m *mesh) facts(t *testing.T) facts {
	t.Helper()
	type customer struct {
		ID                   int64
		Email, Phone, Region string
	}
	f := facts{}
	sales := m.openAs(t, "sales-db", "sales_data", topology.Superuser)
	rows, err := sales.Query(t.Context(), `SELECT customer_id, email, phone, region FROM customers`)
	if err != nil {
		t.Fatal(err)
	}
	customers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[customer])
	if err != nil {
		t.Fatal(err)
	}
	rows, err = m.openAs(t, "marketing-db", "marketing_data", topology.Superuser).Query(t.Context(), `SELECT email FROM leads`)
	if err != nil {
		t.Fatal(err)
	}
	leads, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	normal := func(email string) string { return strings.ToLower(strings.Trim(email, " ")) }
	const here = "EMEA"
	elsewhere := map[string]bool{}
	for _, c := range customers {
		f["customers"]++
		with := "with phone"
		if c.Phone == "" {
			with = "without phone"
		}
		f[with]++
		if c.Region == here {
			f["customers of EMEA"]++
			f[with+" of EMEA"]++
		} else {
			elsewhere[normal(c.Email)] = true
		}
		for _, lead := range leads {
			exact, same := c.Email == lead, normal(c.Email) == normal(lead)
			if exact {
				f["Q1"]++
			}
			if same {
				f["Q1 normalised"]++
			}
			if c.Region == here && exact {
				f["Q1 of EMEA"]++
			}
			if c.Region == here && same {
				f["Q1 normalised of EMEA"]++
			}
		}
	}
	f["leads"] = len(leads)
	for _, lead := range leads {
		if !elsewhere[normal(lead)] {
			f["leads of EMEA or nowhere"]++
		}
	}
	// Also those that are none.
	for _, name := range []string{"without phone", "without phone of EMEA", "with phone", "with phone of EMEA"} {
		f[name] += 0
	}
	count := func(name string, conn *pgx.Conn, sql string, args ...any) {
		var n int
		if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f[name] = n
	}
	count("orders", sales, `SELECT count(*) FROM orders`)
	count("orders of EMEA", sales, `SELECT count(*) FROM orders JOIN customers USING (customer_id) WHERE region = 'EMEA'`)
	marts := m.openAs(t, "platform-db", "sales_analytics", topology.Superuser)
	var ids []int64
	for _, c := range customers {
		if c.Region == here {
			ids = append(ids, c.ID)
		}
	}
	count("journeys", marts, `SELECT count(*) FROM marts.mart_customer_journey`)
	count("journeys of EMEA", marts, `SELECT count(*) FROM marts.mart_customer_journey WHERE customer_id = ANY ($1)`, ids)
	for _, name := range []string{"customers of EMEA", "leads of EMEA or nowhere", "Q1 of EMEA", "journeys of EMEA", "orders of EMEA"} {
		if f[name] == 0 {
			t.Fatalf("nothing to see: %s", name)
		}
	}
	if f["Q1"] == f["Q1 of EMEA"] || f["leads"] == f["leads of EMEA or nowhere"] || f["Q1"] == f["Q1 normalised"] {
		t.Fatalf("the data shows no difference: %v", f)
	}
	return f
}

// maskedValues: a hash is the same for the same person in both domains, tells
// nothing, and its key is in no plan.
func maskedValues(t *testing.T, a *asker, f facts) {
	key, err := a.store.MaskKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"EXPLAIN SELECT email, phone FROM sales.public.customers", "EXPLAIN (TYPE DISTRIBUTED) SELECT email FROM marketing.public.leads",
		"EXPLAIN ANALYZE VERBOSE SELECT email FROM sales.public.customers", "EXPLAIN (TYPE IO) SELECT email FROM sales.public.customers",
		"EXPLAIN (FORMAT JSON) SELECT phone FROM sales.public.customers",
	} {
		plan := a.ask("dana", statement)
		if len(plan) < 100 {
			t.Errorf("%s: %q", statement, plan)
		}
		if strings.Contains(plan, key) || strings.Contains(strings.ToLower(strings.ReplaceAll(plan, " ", "")), fmt.Sprintf("%x", key)) {
			t.Errorf("%s shows the key", statement)
		}
	}
	if got := a.ask("dana", "SELECT count(DISTINCT email) FROM sales.public.customers"); got != f.text("customers") {
		t.Errorf("%s different hashes of %s customers", got, f.text("customers"))
	}
	// What is masked is compared masked.
	email := a.ask("mike", "SELECT min(email) FROM sales.public.customers")
	if got := a.ask("dana", "SELECT count(*) FROM sales.public.customers WHERE email = '"+email+"'"); got != "0" {
		t.Errorf("dana finds %s customers by their address", got)
	}
	// No rule, log or file of Trino's holds the key.
	searched := 0
	folder := filepath.Dir(a.store.CAFile()) + "/../../trino/etc"
	err = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		searched++
		if strings.Contains(string(text), key) {
			t.Errorf("%s holds the key", path)
		}
		return err
	})
	if err != nil || searched < 10 {
		t.Errorf("%d files searched: %v", searched, err)
	}
}

// limits: what could lift a limit nobody but engineers and programs may set.
func limits(t *testing.T, a *asker) {
	for _, c := range []struct{ person, property, value, want string }{
		{"alex", "query_max_execution_time", "1h", denied},
		{"alex", "query_max_run_time", "1h", denied},
		{"alex", "query_max_cpu_time", "1h", denied},
		{"alex", "query_max_memory", "1GB", denied},
		{"alex", "query_priority", "100", denied},
		{"alex", "resource_overcommit", "true", denied},
		{"emma", "query_max_execution_time", "1h", denied},
		{"alex", "join_distribution_type", "BROADCAST", "1"},
		{"mike", "query_max_execution_time", "1h", "1"},
		{"dbt", "query_max_execution_time", "1h", "1"},
	} {
		client := a.client(c.person, map[string]string{c.property: c.value})
		if got := outcome(t, client, c.person, "SELECT 1"); got != c.want {
			t.Errorf("%s sets %s: %q, want %q", c.person, c.property, got, c.want)
		}
		_ = client.Close()
	}
	for person, want := range map[string]string{"alex": "10.00m", "sam": "10.00m", "mike": "240m", "dbt": "240m", "verify": "240m"} {
		got := a.ask(person, "SHOW SESSION LIKE 'query_max_execution_time'")
		if value := strings.Split(got, ","); len(value) < 2 || value[1] != want {
			t.Errorf("%s: %q, want %s", person, got, want)
		}
	}
	for person, want := range map[string]string{
		"alex": "[global, people, alex]", "mike": "[global, engineers]", "dbt": "[global, services]", "verify": "[global, services]",
	} {
		a.ask(person, "SELECT 'group of "+person+"'")
		got := a.ask("mike", `SELECT array_join(resource_group_id, ', ') FROM system.runtime.queries WHERE query = 'SELECT ''group of `+person+`''' LIMIT 1`)
		if "["+got+"]" != want {
			t.Errorf("%s is in %q, want %s", person, got, want)
		}
	}
	// Three at once, the others wait their turn.
	const slow = "SELECT count(*) FROM TABLE(sequence(1, 1000000)) a CROSS JOIN TABLE(sequence(1, 100000)) b WHERE a.sequential_number % 7 = b.sequential_number % 5"
	ctx, cancel := context.WithCancel(t.Context())
	client := a.client("alex", nil)
	ended := make(chan error)
	const started = 5
	for range started {
		go func() {
			_, err := client.Texts(ctx, slow)
			ended <- err
		}()
	}
	states := "SELECT state, count(*) FROM system.runtime.queries WHERE query LIKE 'SELECT count(*) FROM TABLE(sequence(1, 1000000))%' AND state IN ('QUEUED', 'RUNNING') GROUP BY 1 ORDER BY 1"
	deadline := time.Now().Add(patience)
	for got := ""; got != "QUEUED,2\nRUNNING,3"; {
		if time.Now().After(deadline) {
			t.Errorf("alex's queries are %q", got)
			break
		}
		got = a.ask("mike", states)
	}
	// Nobody else waits for them.
	if got := a.ask("sarah", "SELECT count(*) > 0 FROM sales_analytics.marts.mart_campaign_roi"); got != "true" {
		t.Errorf("sarah meanwhile: %q", got)
	}
	cancel()
	for range started {
		if err := <-ended; err == nil {
			t.Error("a query without end has ended")
		}
	}
	_ = client.Close()
}

// queriesOfOthers are seen and killed by engineers only; nobody acts as another.
func queriesOfOthers(t *testing.T, a *asker) {
	a.ask("mike", "SELECT 'a query that others may not see'")
	const seen = `SELECT count(*) > 0 FROM system.runtime.queries WHERE "user" = 'mike'`
	for person, want := range map[string]string{
		"mike": "true", "collector": "true", "alex": "false", "dana": "false", "sarah": "false", "emma": "false", "sam": "false", "mia": "false", "dbt": "false", "lake": "false", "verify": "false",
	} {
		if got := a.ask(person, seen); got != want {
			t.Errorf("%s sees mike's queries: %s, want %s", person, got, want)
		}
	}
	const slow = "SELECT /* to be killed */ count(*) FROM TABLE(sequence(1, 1000000)) a CROSS JOIN TABLE(sequence(1, 1000000)) b WHERE a.sequential_number % 7 = b.sequential_number % 5"
	ended := make(chan error, 1)
	client := a.client("sam", nil)
	defer func() { _ = client.Close() }()
	go func() {
		_, err := client.Texts(t.Context(), slow)
		ended <- err
	}()
	var id string
	for deadline := time.Now().Add(patience); id == "" && time.Now().Before(deadline); {
		id = a.ask("mike", "SELECT query_id FROM system.runtime.queries WHERE query LIKE 'SELECT /* to be killed%' AND state = 'RUNNING'")
	}
	kill := "CALL system.runtime.kill_query(query_id => '" + id + "', message => 'by a test')"
	for _, person := range []string{"alex", "emma", "mia", "dbt", "collector"} {
		if got := a.ask(person, kill); got != denied {
			t.Errorf("%s kills sam's query: %q", person, got)
		}
	}
	if got := a.ask("mike", kill); strings.Contains(got, "_") {
		t.Errorf("mike kills sam's query: %q", got)
	}
	err := <-ended
	if failed, ok := errors.AsType[*query.Error](err); !ok || failed.Name != "ADMINISTRATIVELY_KILLED" {
		t.Errorf("sam is told %v", err)
	}
	if got := a.ask("alex", "SET SESSION AUTHORIZATION mike"); got != denied {
		t.Errorf("alex becomes mike: %q", got)
	}
}

// filesAroundTrino: no table gives its maker files that they may not read.
func (m *mesh) filesAroundTrino(t *testing.T, a *asker) {
	for person, key := range map[string]string{"mike": "mike/x.csv", "alex": "analytics/handed-in/x.csv"} {
		if _, err := m.client(t, person).PutObject(t.Context(), objectstore.Lake, key, strings.NewReader("secret"), 6, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const table = "CREATE TABLE uploads.analytics.%s (a varchar) WITH (format = 'CSV', external_location = 's3://datalake/%s')"
	for name, at := range map[string]string{"mikes": "mike/", "raw": "warehouse/secret.db/t", "lake": "lake/", "all": ""} {
		made := a.ask("alex", fmt.Sprintf(table, name, at))
		got := made
		if made == "" || made == "true" { // only the reading was refused
			got = a.ask("alex", "SELECT * FROM uploads.analytics."+name)
			a.ask("alex", "DROP TABLE uploads.analytics."+name)
		}
		if !strings.HasSuffix(got, "_ERROR") && !strings.HasPrefix(got, "INVALID_") && !strings.HasPrefix(got, "HIVE_") {
			t.Errorf("alex makes a table of %s: %q, then %q", at, made, got)
		}
	}
	if got := a.ask("alex", fmt.Sprintf(table, "handed_in", "analytics/handed-in/")); strings.Contains(got, "_") {
		t.Errorf("alex makes a table of what they put there: %q", got)
	}
	if got := a.ask("dana", "SELECT a FROM uploads.analytics.handed_in"); got != "secret" {
		t.Errorf("dana reads what alex shared: %q", got)
	}
	for _, statement := range []string{"DROP TABLE uploads.analytics.handed_in", "DROP SCHEMA uploads.analytics"} {
		if got := a.ask("alex", statement); strings.Contains(got, "_") {
			t.Errorf("%s: %q", statement, got)
		}
	}
	// Its raw files neither; package objectstore tests the rest.
	raw := "warehouse/secret.db/"
	for _, person := range []string{"alex", "sarah", "emma", "sam", "mia", "dana"} {
		for o := range m.client(t, person).ListObjects(t.Context(), objectstore.Lake, minio.ListObjectsOptions{Prefix: raw, Recursive: true}) {
			if code := minio.ToErrorResponse(o.Err).Code; code != "AccessDenied" {
				t.Errorf("%s lists %s: %q %v", person, raw, o.Key, o.Err)
			}
		}
	}
}

// openAs opens a connection to a database.
func (m *mesh) openAs(t *testing.T, server, database, role string) *pgx.Conn {
	t.Helper()
	conn, err := m.tryOpenAs(t, server, database, role)
	if err != nil {
		t.Fatalf("%s as %s: %v", database, role, err)
	}
	return conn
}

func (m *mesh) tryOpenAs(t *testing.T, server, database, role string) (*pgx.Conn, error) {
	t.Helper()
	store, err := secrets.Open(state.Dir(m.home).Secrets())
	if err != nil {
		t.Fatal(err)
	}
	password, err := store.Role(server, role)
	if err != nil {
		return nil, err
	}
	s, _ := topology.ServerNamed(server)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port+m.offset)), RawQuery: "sslmode=disable"}
	conn, err := pgx.Connect(t.Context(), u.String())
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

// directly: people on the databases themselves.
func (m *mesh) directly(t *testing.T, f facts) {
	refused := func(conn *pgx.Conn, sql string) bool {
		_, err := conn.Exec(t.Context(), sql)
		failed, ok := errors.AsType[*pgconn.PgError](err)
		return ok && (failed.Code == "42501" || failed.Code == "25006")
	}
	for _, c := range []struct{ person, server, database, count, want string }{
		{"alex", "sales-db", "sales_data", "customers", f.text("customers")},
		{"mike", "sales-db", "sales_data", "orders", f.text("orders")},
		{"sam", "sales-db", "sales_data", "customers", f.text("customers")},
		{"mia", "sales-db", "sales_data", "customers", f.text("customers of EMEA")},
		{"mia", "sales-db", "sales_data", "orders", f.text("orders of EMEA")},
		{"alex", "marketing-db", "marketing_data", "leads", f.text("leads")},
		{"mia", "marketing-db", "marketing_data", "leads", "0"},
		{"mia", "marketing-db", "marketing_data", "campaigns", "9"},
		{"sarah", "platform-db", "sales_analytics", "marts.mart_customer_journey", f.text("journeys")},
	} {
		conn := m.openAs(t, c.server, c.database, c.person)
		var got string
		if err := conn.QueryRow(t.Context(), `SELECT count(*)::text FROM `+c.count).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s counts %s: %q, want %q (%v)", c.person, c.count, got, c.want, err)
		}
		if c.database == "sales_data" {
			for _, sql := range []string{`SELECT email FROM customers`, `SELECT phone FROM customers`, `SELECT key FROM masking.key`, `UPDATE orders SET status = 'paid'`,
				`SET ROLE sales_app`, `SET SESSION AUTHORIZATION sales_app`, `CREATE TABLE mine (i int)`} {
				if !refused(conn, sql) {
					t.Errorf("%s: %s is not refused", c.person, sql)
				}
			}
		}
	}
	for _, c := range []struct{ person, server, database string }{
		{"sarah", "sales-db", "sales_data"}, {"emma", "platform-db", "sales_analytics"}, {"sam", "marketing-db", "marketing_data"}, {"emma", "sales-db", "sales_data"},
	} {
		if _, err := m.tryOpenAs(t, c.server, c.database, c.person); err == nil {
			t.Errorf("%s logs in to %s", c.person, c.server)
		}
	}
}

// comeAndGo: one list of people, which every tool follows while it runs.
func (m *mesh) comeAndGo(t *testing.T, a *asker) {
	session := m.openAs(t, "sales-db", "sales_data", "dana")
	old := m.client(t, "dana")
	password, err := a.store.Person("dana")
	if err != nil {
		t.Fatal(err)
	}
	// Passwords: chosen, refused politely, made anew.
	choose := func(password string) (string, error) {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, said, err := m.try(t.Context(), "user", "passwd", "dana", "--password-file", file)
		return said, err
	}
	const chosen = "correct horse: battery $taple"
	if said, err := choose(chosen); err != nil {
		t.Errorf("a chosen password: %v %s", err, said)
	}
	if now, _ := m.run(t, "credentials", "dana"); strings.TrimSpace(now) != chosen {
		t.Errorf("the password is %q", now)
	}
	a.clients["dana"] = nil
	if got := a.ask("dana", "SELECT 1"); got != "1" {
		t.Errorf("dana with the chosen password: %q", got)
	}
	for password, want := range map[string]string{
		strings.Repeat("x", 200): "at most 72", "Größenwahnsinn": "ASCII", "short": "at least 12", "dana-dana-dana": "contains the name",
	} {
		if said, err := choose(password); err == nil || !strings.Contains(said, want) {
			t.Errorf("password %q: %v %q, want %q", password, err, said, want)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"add", "dana", "--group", "analysts"}, "already"},
		{[]string{"add", "Max", "--group", "analysts"}, "small letters"},
		{[]string{"add", "max", "--group", "analyst"}, "no group"},
		{[]string{"add", "sales_owner", "--group", "analysts"}, "choose another"},
		{[]string{"add", "max", "--group", "data_science", "--region", "EMEA"}, "without regions"},
		{[]string{"add", "max", "--group", "marketing_team", "--region", "MOON"}, "no region"},
		{[]string{"rm", "max"}, "no person"},
		{[]string{"rm", "mike"}, "last engineer"},
		{[]string{"rm", "admin"}, secrets.AdminPasswordVariable},
	} {
		if _, said, err := m.try(t.Context(), append([]string{"user"}, c.args...)...); err == nil || !strings.Contains(said, c.want) {
			t.Errorf("user %v: %v %q, want %q", c.args, err, said, c.want)
		}
	}
	m.run(t, "user", "rotate", "dana")
	rotated, err := a.store.Person("dana")
	if err != nil || rotated == chosen || rotated == password {
		t.Errorf("rotated to %q (%v)", rotated, err)
	}

	m.run(t, "user", "rm", "dana")
	list, _ := m.run(t, "user", "list", "-o", "csv")
	if strings.Contains(list, "dana") || !strings.Contains(list, "alex,data_science,all,") || !strings.Contains(list, "mia,marketing_team,EMEA,") {
		t.Errorf("people: %s", list)
	}
	client, err := query.New(query.Config{Address: a.address, CA: a.ca, User: "dana", Password: rotated, Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Texts(t.Context(), "SELECT 1"); !isLoginError(err) {
		t.Errorf("Trino after dana has gone: %v", err)
	}
	if err := session.Ping(t.Context()); err == nil {
		t.Error("dana's session on the database goes on")
	}
	if _, err := m.tryOpenAs(t, "sales-db", "sales_data", "dana"); err == nil {
		t.Error("dana's log-in is kept")
	}
	// Keys are cached for some seconds.
	for deadline := time.Now().Add(patience); ; {
		_, err := old.StatObject(t.Context(), objectstore.Lake, "analytics/x", minio.StatObjectOptions{})
		if code := minio.ToErrorResponse(err).Code; slices.Contains([]string{"InvalidAccessKeyId", "AccessDenied", "SignatureDoesNotMatch"}, code) {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("dana's key still opens: %v", err)
			break
		}
	}
}

func isLoginError(err error) bool {
	_, ok := errors.AsType[*query.LoginError](err)
	return ok
}
