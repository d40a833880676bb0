package migrations

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/internal/migrate"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: Files}

func TestUpDownUpIsIdentical(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("sales_owner"))
	before := db.Dump(t, "sales_owner")
	for _, args := range [][]string{{"down", "all"}, {"up"}} {
		var out bytes.Buffer
		if code := migrate.Main(t.Context(), "sales-migrate", args, Files, &out, &out); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, out.String())
		}
	}
	if diff := cmp.Diff(before, db.Dump(t, "sales_owner")); diff != "" {
		t.Errorf("the schema differs after down and up (-before +after):\n%s", diff)
	}
}

// Who may do what with which table, written by hand.
func TestRights(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	const (
		app, trino, grafana, notebook = "sales_app", "trino_ro", "grafana_ro", "notebook_ro"
	)
	for _, c := range []struct {
		statement string
		may       []string
	}{
		{`SELECT * FROM customers`, []string{app, trino}},
		{`SELECT customer_id, region, segment, revenue, created_at, updated_at FROM customers`, []string{app, trino, grafana, notebook}},
		{`SELECT customer_name FROM customers`, []string{app, trino}},
		{`SELECT email FROM customers`, []string{app, trino}},
		{`SELECT phone FROM customers`, []string{app, trino}},
		{`INSERT INTO customers (customer_name, email, region, segment) VALUES ('A', 'a@b', 'EMEA', 'Consumer')`, []string{app}},
		{`INSERT INTO customers (customer_name, email, region, segment, revenue) VALUES ('A', 'a@b', 'EMEA', 'Consumer', 1)`, nil},
		{`UPDATE customers SET region = 'EMEA'`, []string{app}},
		{`UPDATE customers SET revenue = 1`, nil},
		{`UPDATE customers SET customer_id = 1`, nil},
		{`DELETE FROM customers`, nil},
		{`TRUNCATE customers CASCADE`, nil},
		{`SELECT * FROM orders`, []string{app, trino, grafana, notebook}},
		{`UPDATE orders SET status = 'paid', total_amount = 1`, []string{app}},
		{`UPDATE orders SET customer_id = 1`, nil},
		{`DELETE FROM orders`, nil},
		{`SELECT * FROM idempotency_keys`, []string{app}},
		{`INSERT INTO idempotency_keys (caller, key, request_hash, result) VALUES ('a', 'b', '', '{}')`, []string{app}},
		{`DELETE FROM idempotency_keys`, []string{app}},
		{`SELECT * FROM mesh_meta`, []string{app, trino, grafana, notebook}},
		{`UPDATE mesh_meta SET touched = true`, []string{app}},
		{`UPDATE mesh_meta SET as_of = '2020-01-01'`, nil},
		{`DELETE FROM mesh_meta`, nil},
		{`SELECT add_to_revenue(ARRAY[1]::bigint[], ARRAY[1]::numeric[])`, nil},
		{`CREATE TABLE mine (id int)`, nil},
	} {
		for _, role := range []string{app, trino, grafana, notebook} {
			want := false
			for _, r := range c.may {
				want = want || r == role
			}
			if got := db.Allowed(t, role, c.statement); got != want {
				t.Errorf("%s as %s: allowed %v, want %v", c.statement, role, got, want)
			}
		}
	}
}

// Everything that has a name has a comment, so that people find the meaning
// where they find the data.
func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	conn := pgtest.New(t, schema).Connect(t, "sales_owner")
	var columns, silent int
	err := conn.QueryRow(t.Context(), `
		SELECT count(*), count(*) FILTER (WHERE col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
		  FROM pg_class AS c
		  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'`).Scan(&columns, &silent)
	if err != nil || columns == 0 || silent > 0 {
		t.Errorf("%d of %d columns, or their tables, have no comment; error %v", silent, columns, err)
	}
}
