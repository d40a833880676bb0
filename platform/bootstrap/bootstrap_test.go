package bootstrap

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// A server of the test run, with the names of one test: roles and databases
// belong to the whole server, which other tests use at the same time.
type testServer struct {
	t      *testing.T
	admin  *url.URL
	prefix string
}

func newTestServer(t *testing.T) *testServer {
	t.Helper()
	given := os.Getenv("TEST_DATABASE_URL")
	if given == "" {
		t.Fatal("TEST_DATABASE_URL is not set: run `make test/unit`, which starts a PostgreSQL, or name a superuser's URL of a server made for tests")
	}
	admin, err := url.Parse(given)
	if err != nil {
		t.Fatalf("TEST_DATABASE_URL: %v", err)
	}
	return &testServer{t, admin, "bt_" + strings.ToLower(rand.Text()[:8]) + "_"}
}

// plan is the plan of a topology server under names of this test, removed when
// the test ends.
func (s *testServer) plan(server string) Plan {
	s.t.Helper()
	of, ok := topology.ServerNamed(server)
	if !ok {
		s.t.Fatalf("no server %s", server)
	}
	plan := PlanFor(of, policy.TheMesh().LogIns(server, topology.People))
	for i := range plan.Roles {
		plan.Roles[i].Name, plan.Roles[i].Member = s.prefix+plan.Roles[i].Name, s.prefixed(plan.Roles[i].Member)
	}
	plan.People = s.prefix + plan.People
	for i := range plan.Masked {
		plan.Masked[i] = Masked{s.prefix + plan.Masked[i].Database, s.prefix + plan.Masked[i].Reader}
	}
	for i := range plan.Databases {
		d := &plan.Databases[i]
		d.Name, d.Owner = s.prefix+d.Name, s.prefix+d.Owner
		for j := range d.Connect {
			d.Connect[j] = s.prefix + d.Connect[j]
		}
		for j := range d.Schemas {
			schema := &d.Schemas[j]
			schema.Owner = s.prefix + schema.Owner
			schema.Readers, schema.TableReaders = s.prefixed(schema.Readers), s.prefixed(schema.TableReaders)
		}
	}
	plan.Closed = nil // databases of everybody
	for i := range plan.Foreign {
		f := &plan.Foreign[i]
		f.In, f.As = s.prefix+f.In, s.prefix+f.As
		f.Database, f.RemoteRole = s.prefix+f.Database, s.prefix+f.RemoteRole
	}
	s.t.Cleanup(func() {
		conn := s.connect("", "")
		for _, d := range plan.Databases {
			s.exec(conn, `DROP DATABASE IF EXISTS `+d.Name+` WITH (FORCE)`)
		}
		for _, r := range plan.Roles {
			// A role that another plan of the test still uses goes with that one.
			_, err := conn.Exec(context.Background(), `DROP ROLE IF EXISTS `+r.Name)
			var pgErr *pgconn.PgError
			if err == nil || errors.As(err, &pgErr) && pgErr.Code == "2BP01" {
				continue
			}
			s.t.Error(err)
		}
	})
	return plan
}

func (s *testServer) prefixed(roles []string) []string {
	var all []string
	for _, r := range roles {
		all = append(all, s.prefix+r)
	}
	return all
}

func (s *testServer) config() Config {
	return Config{
		DSN:      s.admin.String(),
		Password: func(role string) (string, error) { return "pw of " + role, nil },
		MaskKey:  func() (string, error) { return "the key", nil },
		Remote: func(_, role string) (string, int, string, error) {
			config, err := pgx.ParseConfig(s.admin.String())
			if err != nil {
				return "", 0, "", err
			}
			return config.Host, int(config.Port), "pw of " + role, nil
		},
	}
}

// dsn of a role of this test in a database of this test; both empty for the
// superuser.
func (s *testServer) dsn(role, database string) string {
	u := *s.admin
	if role != "" {
		u.User = url.UserPassword(s.prefix+role, "pw of "+s.prefix+role)
	}
	if database != "" {
		u.Path = "/" + s.prefix + database
	}
	return u.String()
}

func (s *testServer) connect(role, database string) *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(context.Background(), s.dsn(role, database))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *testServer) exec(conn *pgx.Conn, sql string) {
	s.t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *testServer) run(plan Plan, cfg Config) []string {
	s.t.Helper()
	changes, err := Run(context.Background(), plan, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return changes
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func TestRunTwiceChangesNothing(t *testing.T) {
	s := newTestServer(t)
	for _, server := range []string{"marketing-db", "platform-db"} {
		plan := s.plan(server)
		if len(s.run(plan, s.config())) == 0 {
			t.Errorf("%s: the first run changed nothing", server)
		}
		if changes := s.run(plan, s.config()); len(changes) != 0 {
			t.Errorf("%s: the second run changed %q", server, changes)
		}
	}
}

// Who may connect where on marketing's server, by hand.
func TestConnect(t *testing.T) {
	s := newTestServer(t)
	s.run(s.plan("marketing-db"), s.config())
	for _, c := range []struct {
		role, database string
		may            bool
	}{
		{"marketing_owner", "marketing_data", true},
		{"marketing_app", "marketing_data", true},
		{"trino_ro", "marketing_data", true},
		{"grafana_ro", "marketing_data", true},
		{"alex", "marketing_data", true},
		{"apimetrics_owner", "marketing_data", false},
		{"apimetrics_app", "marketing_data", false},
		{"apimetrics_owner", "marketing_api", true},
		{"apimetrics_app", "marketing_api", true},
		{"trino_ro", "marketing_api", true},
		{"grafana_ro", "marketing_api", true},
		{"alex", "marketing_api", true},
		{"marketing_owner", "marketing_api", false},
		{"marketing_app", "marketing_api", false},
	} {
		conn, err := pgx.Connect(context.Background(), s.dsn(c.role, c.database))
		if err == nil {
			_ = conn.Close(context.Background())
		}
		switch {
		case c.may && err != nil:
			t.Errorf("%s cannot connect to %s: %v", c.role, c.database, err)
		case !c.may && code(err) != "42501": // insufficient_privilege
			t.Errorf("%s on %s: got %v, want a refusal", c.role, c.database, err)
		}
	}
}

func TestRights(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	s.run(s.plan("sales-db"), s.config())

	owner := s.connect("sales_owner", "sales_data")
	s.exec(owner, `CREATE TABLE customers (customer_id bigint, email text)`)
	s.exec(owner, `GRANT SELECT ON customers TO `+s.prefix+`trino_ro, `+s.prefix+`grafana_ro`)
	s.exec(owner, `GRANT SELECT, INSERT ON customers TO `+s.prefix+`sales_app`)

	app := s.connect("sales_app", "sales_data")
	s.exec(app, `INSERT INTO customers VALUES (1, 'a@example.org')`)
	for role, statements := range map[string][]string{
		"sales_app":   {`CREATE TABLE public.x (i int)`, `CREATE SCHEMA x`, `CREATE TEMPORARY TABLE x (i int)`, `CREATE ROLE x`, `CREATE DATABASE x`, `DELETE FROM customers`},
		"alex":        {`CREATE TABLE public.x (i int)`, `SELECT * FROM customers`},
		"sales_owner": {`CREATE ROLE x`, `CREATE DATABASE x`, `SELECT * FROM pg_authid`},
	} {
		conn := s.connect(role, "sales_data")
		for _, statement := range statements {
			// A reader may not write for two reasons; the right is the one to test.
			if _, err := conn.Exec(ctx, `SET default_transaction_read_only = off`); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(ctx, statement); code(err) != "42501" {
				t.Errorf("%s: %s: got %v, want a refusal", role, statement, err)
			}
		}
	}
	trino := s.connect("trino_ro", "sales_data")
	var n int
	if err := trino.QueryRow(ctx, `SELECT count(*) FROM customers`).Scan(&n); err != nil || n != 1 {
		t.Errorf("trino_ro counts %d, %v", n, err)
	}
	if _, err := trino.Exec(ctx, `INSERT INTO customers VALUES (2, 'b')`); code(err) != "25006" { // read_only_sql_transaction
		t.Errorf("trino_ro writes: got %v, want a refusal", err)
	}
}

func TestSessionLimits(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	s.run(s.plan("sales-db"), s.config())
	for role, want := range map[string]struct {
		timeout string
		limit   int
	}{
		"grafana_ro": {"30s", 20},
		"alex":       {"5min", 5},
		"trino_ro":   {"4h", -1},
		"sales_app":  {"30s", -1},
	} {
		conn := s.connect(role, "sales_data")
		var timeout, readOnly string
		var limit int
		err := conn.QueryRow(ctx, `SELECT current_setting('statement_timeout'), current_setting('transaction_read_only'),
			(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)`).Scan(&timeout, &readOnly, &limit)
		if err != nil {
			t.Fatal(err)
		}
		if timeout != want.timeout || limit != want.limit {
			t.Errorf("%s: statement_timeout %s, connection limit %d, want %s, %d", role, timeout, limit, want.timeout, want.limit)
		}
		if reader := role != "sales_app"; (readOnly == "on") != reader {
			t.Errorf("%s: transaction_read_only is %s", role, readOnly)
		}
	}
}

// A password that changed is set, and what somebody changed by hand is set back.
func TestRunSetsBack(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	plan := s.plan("sales-db")
	s.run(plan, s.config())

	rotated := s.config()
	rotated.Password = func(role string) (string, error) {
		if role == s.prefix+"sales_app" {
			return "rotated", nil
		}
		return "pw of " + role, nil
	}
	if got, want := s.run(plan, rotated), []string{"role " + s.prefix + "sales_app: password set"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	if _, err := pgx.Connect(ctx, s.dsn("sales_app", "sales_data")); code(err) != "28P01" { // invalid_password
		t.Errorf("the old password: got %v, want a refusal", err)
	}
	s.run(plan, s.config())
	s.connect("sales_app", "sales_data")

	admin := s.connect("", "")
	s.exec(admin, `ALTER ROLE `+s.prefix+`trino_ro SUPERUSER CREATEDB`)
	s.exec(admin, `ALTER ROLE `+s.prefix+`trino_ro SET default_transaction_read_only = off`)
	s.exec(admin, `ALTER ROLE `+s.prefix+`grafana_ro CONNECTION LIMIT -1`)
	s.exec(admin, `ALTER DATABASE `+s.prefix+`sales_data OWNER TO `+s.prefix+`sales_app`)
	s.exec(admin, `GRANT ALL ON DATABASE `+s.prefix+`sales_data TO PUBLIC`)
	s.run(plan, s.config())
	var super, createDB bool
	var settings []string
	err := admin.QueryRow(ctx, `SELECT rolsuper, rolcreatedb, rolconfig FROM pg_roles WHERE rolname = $1`, s.prefix+"trino_ro").Scan(&super, &createDB, &settings)
	slices.Sort(settings)
	if err != nil || super || createDB || !slices.Equal(settings, []string{"default_transaction_read_only=on", "statement_timeout=4h"}) {
		t.Errorf("trino_ro: superuser %v, createdb %v, settings %v, %v", super, createDB, settings, err)
	}
	var owner string
	var public bool
	err = admin.QueryRow(ctx, `SELECT pg_get_userbyid(datdba), has_database_privilege('pg_monitor', oid, 'CONNECT') FROM pg_database WHERE datname = $1`, s.prefix+"sales_data").Scan(&owner, &public)
	if err != nil || owner != s.prefix+"sales_owner" || public {
		t.Errorf("sales_data: owner %s, everybody may connect %v, %v", owner, public, err)
	}
	if changes := s.run(plan, s.config()); len(changes) != 0 {
		t.Errorf("another run changed %q", changes)
	}
}

func TestClosed(t *testing.T) {
	s := newTestServer(t)
	plan := s.plan("sales-db")
	s.run(plan, s.config())
	admin := s.connect("", "")
	s.exec(admin, `CREATE DATABASE `+s.prefix+`closed`)
	t.Cleanup(func() { s.exec(s.connect("", ""), `DROP DATABASE `+s.prefix+`closed`) })
	plan.Closed = []string{s.prefix + "closed"}
	conn, err := pgx.Connect(context.Background(), s.dsn("sales_app", "closed"))
	if err != nil {
		t.Fatal("before:", err)
	}
	_ = conn.Close(context.Background())
	s.run(plan, s.config())
	if _, err := pgx.Connect(context.Background(), s.dsn("sales_app", "closed")); code(err) != "42501" {
		t.Errorf("after: got %v, want a refusal", err)
	}
}

// The verify database reads the tables of the domains as they are now.
func TestImportForeignTables(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	s.run(s.plan("sales-db"), s.config())
	s.run(s.plan("marketing-db"), s.config())
	s.run(s.plan("platform-db"), s.config())
	tables := func(role, database string, statements ...string) {
		t.Helper()
		conn := s.connect(role, database)
		for _, statement := range statements {
			s.exec(conn, statement)
		}
		s.exec(conn, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+s.prefix+`trino_ro`)
	}
	tables("sales_owner", "sales_data",
		`CREATE TABLE customers (customer_id bigint, revenue numeric(14,2), created_at timestamptz)`,
		`INSERT INTO customers VALUES (1, 12.50, now()), (2, 0.25, now())`,
		`CREATE TABLE orders (order_id bigint)`)
	tables("marketing_owner", "marketing_data",
		`CREATE TABLE leads (lead_id bigint)`, `CREATE TABLE campaigns (campaign_id bigint)`, `CREATE TABLE secret (x int)`)

	verify := s.connect("verify", "verify")
	if err := ImportForeignTables(ctx, verify); err != nil {
		t.Fatal(err)
	}
	var n int
	var sum string
	if err := verify.QueryRow(ctx, `SELECT count(*), sum(revenue)::text FROM sales.customers`).Scan(&n, &sum); err != nil || n != 2 || sum != "12.75" {
		t.Errorf("%d customers with revenue %s, %v", n, sum, err)
	}
	if _, err := verify.Exec(ctx, `INSERT INTO sales.customers (customer_id) VALUES (3)`); err == nil {
		t.Error("verify wrote into sales")
	}
	if _, err := verify.Exec(ctx, `SELECT * FROM marketing.secret`); code(err) != "42P01" { // undefined_table
		t.Errorf("a table that is not listed: got %v", err)
	}
	// A column that came later is there after the next import.
	tables("sales_owner", "sales_data", `ALTER TABLE customers ADD COLUMN region text DEFAULT 'EMEA'`)
	if err := ImportForeignTables(ctx, verify); err != nil {
		t.Fatal(err)
	}
	if err := verify.QueryRow(ctx, `SELECT count(*) FROM sales.customers WHERE region = 'EMEA'`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d customers with the new column, %v", n, err)
	}
	// Nobody but verify comes in.
	if _, err := pgx.Connect(ctx, s.dsn("grafana_ro", "verify")); code(err) != "42501" {
		t.Errorf("grafana_ro on verify: got %v, want a refusal", err)
	}
}

func TestRunUnreachable(t *testing.T) {
	cfg := Config{DSN: "postgres://postgres:x@127.0.0.1:1/postgres?sslmode=disable"}
	if _, err := Run(context.Background(), Plan{}, cfg); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want connection refused", err)
	}
}

// Marts are built beside the published ones and moved; readers see what is
// published and nothing else, whoever made it and when.
func TestMartsAreReadWhenPublished(t *testing.T) {
	s := newTestServer(t)
	plan := s.plan("platform-db")
	plan.Foreign = nil
	s.run(plan, s.config())
	trino := s.connect("trino_analytics", "sales_analytics")
	for _, sql := range []string{
		`CREATE TABLE staging.stg_leads (email text)`,
		`CREATE TABLE marts_next.mart (n int)`,
		`CREATE TABLE ops.queries (n int)`,
		`CREATE TABLE marts.old (n int)`,
		`ALTER TABLE marts.old SET SCHEMA marts_old`,
	} {
		s.exec(trino, sql)
	}
	check := func(when string, want map[string]string) {
		t.Helper()
		for query, outcome := range want {
			role, table, _ := strings.Cut(query, " ")
			_, err := s.connect(role, "sales_analytics").Exec(context.Background(), `SELECT * FROM `+table)
			if got := code(err); got != outcome {
				t.Errorf("%s, %s: %q (%v), want %q", when, query, got, err, outcome)
			}
		}
	}
	const denied = "42501"
	check("before", map[string]string{
		"grafana_ro staging.stg_leads": denied, "sarah staging.stg_leads": denied,
		"grafana_ro marts_next.mart": denied, "grafana_ro marts_old.old": denied,
		"grafana_ro ops.queries": "", "sarah ops.queries": denied,
	})
	s.exec(trino, `ALTER TABLE marts_next.mart SET SCHEMA marts`)
	check("published", map[string]string{
		"grafana_ro marts.mart": "", "sarah marts.mart": "", "grafana_ro staging.stg_leads": denied,
	})
	// Rights that somebody gave go at the next start.
	s.exec(trino, `GRANT USAGE ON SCHEMA staging TO `+s.prefix+`grafana_ro`)
	s.exec(trino, `ALTER DEFAULT PRIVILEGES IN SCHEMA staging GRANT SELECT ON TABLES TO PUBLIC`)
	changes := s.run(plan, s.config())
	if len(changes) != 2 {
		t.Errorf("changes: %q", changes)
	}
	s.exec(trino, `CREATE TABLE staging.more (email text)`)
	check("set back", map[string]string{"grafana_ro staging.more": denied})
	if _, err := s.connect("trino_analytics", "sales_analytics").Exec(t.Context(), `CREATE TABLE public.x (n int)`); code(err) != denied {
		t.Errorf("Trino may write public: %v", err)
	}
	for _, role := range []string{"grafana_ro", "trino_analytics", "sarah"} {
		if conn, err := pgx.Connect(t.Context(), s.dsn(role, "hive_metastore")); code(err) != denied {
			t.Errorf("%s connects to the metastore's database: %v", role, err)
			if err == nil {
				_ = conn.Close(t.Context())
			}
		}
	}
}
