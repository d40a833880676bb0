package simulate_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/simulation"
	"github.com/datameesh/datameesh/services/sales/api"
	"github.com/datameesh/datameesh/services/sales/migrations"
	"github.com/datameesh/datameesh/services/sales/postgres"
	"github.com/datameesh/datameesh/services/sales/simulate"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: migrations.Files}

// run drives a Sales API on the database for so many requests, then interrupts.
func run(t *testing.T, db pgtest.Database, requests int64, seed string) {
	t.Helper()
	pool, err := database.Open(t.Context(), db.URL("sales_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	keys := conformance.Keys(t, map[string][]string{"key": {"sales:read", "sales:write"}})
	router, err := api.Routes(postgres.New(pool), rest.Service{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) > requests {
			interrupt()
			return
		}
		router.Handler().ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("API_URL", server.URL)
	t.Setenv("API_KEY", "key")
	var out bytes.Buffer
	code := simulation.Main(ctx, simulate.Script, []string{"--rate", "1000", "--seed", seed}, &out, &out)
	if code != 130 || !strings.Contains(out.String(), " 0 repeated, 0 failed") {
		t.Fatalf("exit code %d: %s", code, out.String())
	}
}

// rows gives all that does not depend on the clock.
func rows(t *testing.T, db pgtest.Database) (text string) {
	t.Helper()
	err := db.Connect(t, "sales_owner").QueryRow(t.Context(), `
		SELECT concat_ws(E'\n',
			(SELECT string_agg(concat_ws(' ', customer_id, customer_name, email, phone, region, segment, revenue), E'\n' ORDER BY customer_id) FROM customers),
			(SELECT string_agg(concat_ws(' ', order_id, customer_id, status, total_amount), E'\n' ORDER BY order_id) FROM orders))`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheSameSeedMakesTheSameRows(t *testing.T) {
	one, two := pgtest.New(t, schema), pgtest.New(t, schema)
	run(t, one, 200, "5")
	run(t, two, 200, "5")
	made := rows(t, one)
	if made != rows(t, two) {
		t.Errorf("made\n%s\nand\n%s", made, rows(t, two))
	}
	for _, status := range []string{" pending ", " paid ", " cancelled "} {
		if !strings.Contains(made, status) {
			t.Errorf("no order is%sin\n%s", status, made)
		}
	}
	var refunded, customers int
	// A second run knows the people of the first and goes on with their orders.
	run(t, one, 600, "5")
	conn := one.Connect(t, "sales_owner")
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM orders WHERE status = 'refunded'), (SELECT count(*) FROM customers)`).Scan(&refunded, &customers); err != nil {
		t.Fatal(err)
	}
	if refunded == 0 || customers < 20 {
		t.Errorf("%d orders are refunded, %d customers registered", refunded, customers)
	}
}
