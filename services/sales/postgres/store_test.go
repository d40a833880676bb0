package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/queryparam"
	"github.com/datameesh/datameesh/services/sales"
	"github.com/datameesh/datameesh/services/sales/migrations"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: migrations.Files}

func newStore(t *testing.T) (*Store, pgtest.Database) {
	t.Helper()
	t.Parallel()
	db := pgtest.New(t, schema)
	pool, err := database.Open(t.Context(), db.URL("sales_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return New(pool), db
}

// wrongRevenue counts the customers whose revenue differs from their paid orders.
const wrongRevenue = `
	SELECT count(*)
	  FROM customers AS c
	 WHERE revenue <> coalesce((SELECT sum(total_amount) FROM orders AS o
	                             WHERE o.customer_id = c.customer_id AND status = 'paid'), 0)`

// Many writers at once, through the store and by SQL of all kinds, never make
// revenue differ from the paid orders, and never wait for each other in a circle.
func TestRevenueEqualsPaidOrders(t *testing.T) {
	store, db := newStore(t)
	owner := db.Pool(t, "sales_owner")
	ctx := t.Context()
	for i := range 5 {
		if _, err := store.CreateCustomer(ctx, sales.NewCustomer{Name: "A", Email: fmt.Sprintf("%d@example.com", i), Region: "EMEA", Segment: "Consumer"}); err != nil {
			t.Fatal(err)
		}
	}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range 40 {
				id := 1 + random.Int64N(200)
				var err error
				switch random.IntN(7) {
				case 0, 1:
					_, err = store.CreateOrder(ctx, sales.NewOrder{CustomerID: 1 + random.Int64N(5), TotalAmount: 150})
				case 2, 3:
					change := sales.StatusChange{Status: sales.OrderStatuses[random.IntN(4)]}
					_, err = store.UpdateOrder(ctx, id, change.Apply)
				case 4:
					_, err = owner.Exec(ctx, `INSERT INTO orders (customer_id, status, total_amount) SELECT 1 + n % 5, 'paid', n FROM generate_series(1, 10) AS n`)
				case 5:
					_, err = owner.Exec(ctx, `UPDATE orders SET total_amount = total_amount + 1, customer_id = 6 - customer_id WHERE order_id BETWEEN $1 AND $1 + 3`, id)
				case 6:
					_, err = owner.Exec(ctx, `DELETE FROM orders WHERE order_id BETWEEN $1 AND $1 + 2`, id)
				}
				if err != nil && !errors.Is(err, sales.ErrConflict) && !errors.Is(err, sales.ErrNotFound) && !isDeadlock(err) {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	writers.Wait()
	var wrong, paid int
	if err := owner.QueryRow(ctx, wrongRevenue).Scan(&wrong); err != nil {
		t.Fatal(err)
	}
	if err := owner.QueryRow(ctx, `SELECT count(*) FROM orders WHERE status = 'paid'`).Scan(&paid); err != nil {
		t.Fatal(err)
	}
	if wrong != 0 || paid == 0 {
		t.Errorf("%d customers have a wrong revenue (%d paid orders)", wrong, paid)
	}
	if _, err := owner.Exec(ctx, `TRUNCATE orders`); err != nil {
		t.Fatal(err)
	}
	if err := owner.QueryRow(ctx, wrongRevenue).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("after TRUNCATE %d customers have a wrong revenue, error %v", wrong, err)
	}
}

// isDeadlock: statements of the test that lock several orders in no order may
// meet; PostgreSQL ends one of them, which then changed nothing.
func isDeadlock(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "40P01"
}

func TestWritesTouch(t *testing.T) {
	store, db := newStore(t)
	owner := db.Connect(t, "sales_owner")
	if _, err := owner.Exec(t.Context(), `INSERT INTO mesh_meta (as_of, seed, scale, row_counts, state) VALUES ('2026-11-23', 1, 'small', '{}', 'seeded')`); err != nil {
		t.Fatal(err)
	}
	touched := func() (yes bool) {
		t.Helper()
		if err := owner.QueryRow(t.Context(), `SELECT touched FROM mesh_meta`).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if _, err := store.Customers(t.Context(), sales.CustomerFilter{Limit: 1}); err != nil || touched() {
		t.Errorf("reading touched, error %v", err)
	}
	if _, err := store.CreateOrder(t.Context(), sales.NewOrder{CustomerID: 9, TotalAmount: 1}); err == nil || touched() {
		t.Errorf("a refused write touched, error %v", err)
	}
	if _, err := store.CreateCustomer(t.Context(), sales.NewCustomer{Name: "A", Email: "a@b", Region: "EMEA", Segment: "Consumer"}); err != nil || !touched() {
		t.Errorf("a write did not touch, error %v", err)
	}
}

func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	pool, err := database.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none?sslmode=disable", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := New(pool)
	_, getErr := store.Customer(t.Context(), 1)
	_, putErr := store.CreateOrder(t.Context(), sales.NewOrder{CustomerID: 1, TotalAmount: 1})
	for _, err := range []error{getErr, putErr, store.Ready(t.Context())} {
		if !errors.Is(err, sales.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

// What is asked most often is not planned anew each time, on tables large enough
// that the plan matters.
func TestPlansAreKept(t *testing.T) {
	store, db := newStore(t)
	owner := db.Pool(t, "sales_owner")
	for _, statement := range []string{
		`INSERT INTO customers (customer_name, email, region, segment) SELECT 'A', n || '@example.com', 'EMEA', 'Consumer' FROM generate_series(1, 5000) AS n`,
		`ALTER TABLE orders DISABLE TRIGGER USER`,
		`INSERT INTO orders (customer_id, total_amount) SELECT n, 1 FROM generate_series(1, 5000) AS n`,
		`ANALYZE customers, orders`,
	} {
		if _, err := owner.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	config := store.db.Config().Copy()
	config.MaxConns = 1 // so that the statements are asked for where they were run
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	store = New(&database.DB{Pool: pool})
	const runs = 20
	for range runs {
		for _, ids := range [][]int64{{7}, {7, 8}, {7, 8, 9}, {1, 2, 3, 4, 5, 6, 7}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
			if found, err := store.customersByID(t.Context(), ids); err != nil || len(found) != len(ids) {
				t.Fatalf("%v: %v %v", ids, found, err)
			}
			if found, err := store.ordersByID(t.Context(), ids); err != nil || len(found) != len(ids) {
				t.Fatalf("%v: %v %v", ids, found, err)
			}
		}
		for _, region := range []string{"", "EMEA"} {
			if _, err := store.Customers(t.Context(), sales.CustomerFilter{Region: region, After: 100, Limit: queryparam.DefaultLimit + 1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Orders(t.Context(), sales.OrderFilter{After: 100, Limit: queryparam.DefaultLimit + 1}); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := pool.Query(t.Context(), `SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement ~ 'FROM (customers|orders)'`)
	if err != nil {
		t.Fatal(err)
	}
	var statement string
	var kept, anew int
	seen := 0
	if _, err := pgx.ForEachRow(rows, []any{&statement, &kept, &anew}, func() error {
		seen++
		if kept < runs-5 { // PostgreSQL tries five plans before it keeps one
			t.Errorf("planned %d times, kept %d times: %s", anew, kept, statement)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if seen != 13 {
		t.Errorf("%d statements", seen)
	}
}
