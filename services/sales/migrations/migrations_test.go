package migrations

import (
	"testing"

	"github.com/datameesh/datameesh/services/internal/pgtest"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: Files}

func TestUpDownUpIsIdentical(t *testing.T) {
	pgtest.New(t, schema).DownAndUp(t, schema)
}

// Who may do what with which table, written by hand.
func TestRights(t *testing.T) {
	t.Parallel()
	const (
		app, trino, grafana, notebook = "sales_app", "trino_ro", "grafana_ro", "notebook_ro"
	)
	pgtest.New(t, schema).HasRights(t, schema, pgtest.Rights{
		`SELECT * FROM customers`: {app, trino},
		`SELECT customer_id, region, segment, revenue, created_at, updated_at FROM customers`: {app, trino, grafana, notebook},
		`SELECT customer_name FROM customers`:                                                 {app, trino},
		`SELECT email FROM customers`:                                                         {app, trino},
		`SELECT phone FROM customers`:                                                         {app, trino},
		`INSERT INTO customers (customer_name, email, region, segment) VALUES ('A', 'a@b', 'EMEA', 'Consumer')`:             {app},
		`INSERT INTO customers (customer_name, email, region, segment, revenue) VALUES ('A', 'a@b', 'EMEA', 'Consumer', 1)`: nil,
		`UPDATE customers SET region = 'EMEA'`:                {app},
		`UPDATE customers SET revenue = 1`:                    nil,
		`UPDATE customers SET customer_id = 1`:                nil,
		`DELETE FROM customers`:                               nil,
		`TRUNCATE customers CASCADE`:                          nil,
		`SELECT * FROM orders`:                                {app, trino, grafana, notebook},
		`UPDATE orders SET status = 'paid', total_amount = 1`: {app},
		`UPDATE orders SET customer_id = 1`:                   nil,
		`DELETE FROM orders`:                                  nil,
		`SELECT * FROM idempotency_keys`:                      {app},
		`INSERT INTO idempotency_keys (caller, key, request_hash, result) VALUES ('a', 'b', '', '{}')`: {app},
		`DELETE FROM idempotency_keys`:                                   {app},
		`SELECT * FROM schema_migrations`:                                {app},
		`UPDATE schema_migrations SET dirty = true`:                      nil,
		`SELECT * FROM mesh_meta`:                                        {app, trino, grafana, notebook},
		`UPDATE mesh_meta SET touched = true`:                            {app},
		`UPDATE mesh_meta SET as_of = '2020-01-01'`:                      nil,
		`DELETE FROM mesh_meta`:                                          nil,
		`SELECT add_to_revenue(ARRAY[1]::bigint[], ARRAY[1]::numeric[])`: nil,
		`CREATE TABLE mine (id int)`:                                     nil,
	})
}

func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	pgtest.New(t, schema).IsCommented(t, schema)
}
