package seed

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/sales/migrations"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: migrations.Files}

var demo = seeding.Params{Scale: "demo", Seed: 42, AsOf: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Rows: population.Scales["demo"]}

// Each order belongs to the customer whose range of orders it lies in, for all
// shapes of row counts.
func TestOrdersOfACustomerAreOneRange(t *testing.T) {
	t.Parallel()
	for _, rows := range []population.Rows{{Customers: 1, Orders: 1}, {Customers: 10, Orders: 3}, {Customers: 7, Orders: 100}, {Customers: 100, Orders: 400}} {
		m := maker{Params: seeding.Params{Seed: 42, Rows: rows}}
		if m.firstOrder(1) != 1 || m.firstOrder(rows.Customers+1) != rows.Orders+1 {
			t.Errorf("%+v: the ranges do not cover the orders", rows)
		}
		for n := int64(1); n <= rows.Customers; n++ {
			if m.firstOrder(n) > m.firstOrder(n+1) {
				t.Errorf("%+v: customer %d has a negative number of orders", rows, n)
			}
			for o := m.firstOrder(n); o < m.firstOrder(n+1); o++ {
				if got := m.customerOf(o); got != n {
					t.Errorf("%+v: order %d belongs to customer %d, not %d", rows, o, got, n)
				}
			}
		}
	}
}

// A row made alone equals the row made among all others, and a day later only
// its times differ, by that day.
func TestRowsArePure(t *testing.T) {
	t.Parallel()
	plan, again := Domain.Plan(demo), Domain.Plan(demo)
	var before []any
	for _, c := range plan.Transaction(0) {
		for n := c.From; n < c.To; n++ {
			before = append(before, c.Row(n))
		}
	}
	var after []any
	for _, c := range again.Transaction(0) {
		rows := make([]any, c.To-c.From)
		for n := c.To - 1; n >= c.From; n-- {
			rows[n-c.From] = c.Row(n)
		}
		after = append(after, rows...)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

func run(ctx context.Context, t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = seeding.Main(ctx, Domain, append([]string{"--scale", "small", "--as-of", "2026-11-23"}, args...), &out, &out)
	return code, out.String()
}

func fingerprint(t *testing.T, db pgtest.Database) (sum string) {
	t.Helper()
	err := db.Connect(t, "sales_owner").QueryRow(t.Context(), `
		SELECT md5((SELECT string_agg(c::text, '|' ORDER BY customer_id) FROM customers AS c)
		        || (SELECT string_agg(o::text, '|' ORDER BY order_id) FROM orders AS o))`).Scan(&sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestSeeding(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("sales_owner"))
	conn := db.Connect(t, "sales_owner")

	if code, out := run(t.Context(), t); code != 0 || !strings.Contains(out, "customers 100\norders 400\n") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	first := fingerprint(t, db)
	var wrong, edge, future, touched int
	err := conn.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM customers AS c
		         WHERE revenue <> coalesce((SELECT sum(total_amount) FROM orders AS o WHERE o.customer_id = c.customer_id AND status = 'paid'), 0)),
		       (SELECT count(*) FROM (SELECT created_at FROM customers UNION ALL SELECT ordered_at FROM orders) AS t (at)
		         WHERE at BETWEEN timestamptz '2026-11-23 00:00Z' - interval '367 days' AND timestamptz '2026-11-23 00:00Z' - interval '364 days'),
		       (SELECT count(*) FROM orders JOIN customers USING (customer_id) WHERE ordered_at >= '2026-11-23 00:00Z' OR ordered_at < created_at),
		       (SELECT count(*) FROM mesh_meta WHERE touched OR state <> 'seeded')`).Scan(&wrong, &edge, &future, &touched)
	if err != nil || wrong+edge+future+touched != 0 {
		t.Errorf("%d wrong revenues, %d rows at the year's edge, %d orders at impossible times, %d unfinished or touched; error %v", wrong, edge, future, touched, err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO orders (customer_id, total_amount) VALUES (1, 1)`); err != nil {
		t.Errorf("the identity does not go on behind the seeded rows: %v", err)
	}

	if code, out := run(t.Context(), t); code != 1 || !strings.Contains(out, "--force") {
		t.Errorf("a filled database: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--if-empty"); code != 0 || !strings.Contains(out, "already seeded") {
		t.Errorf("--if-empty: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--force"); code != 0 || fingerprint(t, db) != first {
		t.Errorf("--force: exit code %d, other rows: %s", code, out)
	}
}

func TestInterruptedSeedingGoesOn(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("sales_owner"))
	conn := db.Connect(t, "sales_owner")
	rows := []string{"--rows", "customers=2500", "--rows", "orders=5000"}
	if code, out := run(t.Context(), t, rows...); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	whole := fingerprint(t, db)

	// The second transaction meets a row that is in its way and is rolled back;
	// what was committed stays, and the same command goes on from there.
	if _, err := conn.Exec(t.Context(), `TRUNCATE customers, orders, mesh_meta; ALTER TABLE customers ADD CONSTRAINT planted CHECK (customer_id <> 1500)`); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t.Context(), t, rows...); code != 1 || !strings.Contains(out, "transaction 2 of 3") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if _, err := conn.Exec(t.Context(), `ALTER TABLE customers DROP CONSTRAINT planted`); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t.Context(), t, "--rows", "customers=77"); code != 1 || !strings.Contains(out, "other settings") {
		t.Errorf("other settings: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, append(rows, "--if-empty")...); code != 0 || !strings.Contains(out, "1 of 3 transactions are done") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if got := fingerprint(t, db); got != whole {
		t.Error("the rows differ from those of an uninterrupted seeding")
	}
}

func TestCancelledSeedingSaysSo(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("sales_owner"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, out := run(ctx, t); code != 130 || !strings.Contains(out, "goes on") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
	for _, args := range [][]string{
		{"--scale", "huge"}, {"--as-of", "today"}, {"--rows", "customers=-1"}, {"--rows", "leads=5"}, {"--rows", "customers"}, {"--unknown"}, {"extra"},
	} {
		if code, out := run(t.Context(), t, args...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	if code, out := run(t.Context(), t); code != 3 {
		t.Errorf("no database: exit code %d: %s", code, out)
	}
}
