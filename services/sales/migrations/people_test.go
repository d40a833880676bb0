package migrations

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// Rows that people who connect directly see: four customers, one a region, with
// one order each, loaded by COPY as the seeder does.
func TestPeopleSeeTheRowsOfTheirRegions(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t, schema)
	owner := d.Connect(t, schema.Owner)
	ctx := context.Background()
	var customers, orders [][]any
	for i, region := range []string{"AMER", "APAC", "EMEA", "LATAM"} {
		id := int64(i + 1)
		customers = append(customers, []any{id, "A", region + "@example.com", "", region, "Consumer"})
		orders = append(orders, []any{id, "paid", int64(10)})
	}
	if _, err := owner.CopyFrom(ctx, pgx.Identifier{"customers"}, []string{"customer_id", "customer_name", "email", "phone", "region", "segment"}, pgx.CopyFromRows(customers)); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"customer_id", "status", "total_amount"}, pgx.CopyFromRows(orders)); err != nil {
		t.Fatal(err)
	}
	const all, none = "AMER APAC EMEA LATAM", ""
	for _, c := range []struct {
		who  string
		conn *pgx.Conn
		want string
	}{
		{"the owner", owner, all},
		{"the service", d.Connect(t, schema.App), all},
		{"Trino", d.Connect(t, "trino_ro"), all},
		{"Grafana", d.Connect(t, "grafana_ro"), all},
		{"notebook_ro itself", d.Connect(t, "notebook_ro"), all},
		{"a person of all regions", d.Person(t, "rows_all"), all},
		{"a person of one region", d.Person(t, "rows_emea"), "EMEA"},
		{"a person of two regions", d.Person(t, "rows_apac", "rows_latam"), "APAC LATAM"},
		{"a person of none", d.Person(t), none},
	} {
		for _, escape := range []string{"", "SET ROLE notebook_ro"} {
			if escape != "" && c.who[:2] != "a " {
				continue
			}
			if _, err := c.conn.Exec(ctx, escape); err != nil {
				t.Errorf("%s: %s: %v", c.who, escape, err)
			}
			for what, query := range map[string]string{
				"customers": `SELECT coalesce(string_agg(region, ' ' ORDER BY region), '') FROM customers`,
				"orders":    `SELECT coalesce(string_agg(c.region, ' ' ORDER BY c.region), '') FROM orders JOIN customers AS c USING (customer_id)`,
			} {
				var got string
				if err := c.conn.QueryRow(ctx, query).Scan(&got); err != nil || got != c.want {
					t.Errorf("%s %s: %s of %q, want %q (%v)", c.who, escape, what, got, c.want, err)
				}
			}
			var count int
			want := map[string]int{all: 4, "EMEA": 1, "APAC LATAM": 2, none: 0}[c.want]
			if err := c.conn.QueryRow(ctx, `SELECT count(*) FROM orders`).Scan(&count); err != nil || count != want {
				t.Errorf("%s %s: %d orders, want %d (%v)", c.who, escape, count, want, err)
			}
		}
	}
	// The service writes as before, and its triggers see everything.
	app := d.Connect(t, schema.App)
	if _, err := app.Exec(ctx, `UPDATE orders SET status = 'refunded' WHERE customer_id = 3`); err != nil {
		t.Error(err)
	}
	var revenue string
	if err := app.QueryRow(ctx, `SELECT string_agg(revenue::text, ' ' ORDER BY customer_id) FROM customers`).Scan(&revenue); err != nil || revenue != "10.00 10.00 0.00 10.00" {
		t.Errorf("revenue %q (%v)", revenue, err)
	}
}
