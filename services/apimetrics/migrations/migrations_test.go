package migrations

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

var schema = pgtest.Schema{Owner: "apimetrics_owner", App: "apimetrics_app", Migrations: Files}

func TestUpDownUpIsIdentical(t *testing.T) {
	db := pgtest.New(t, schema)
	// Down takes the partitions that were made since along.
	if _, err := db.Connect(t, "apimetrics_app").Exec(t.Context(), `SELECT make_api_logs_partitions('{}')`); err != nil {
		t.Fatal(err)
	}
	db.DownAndUp(t, schema)
}

// Who may do what with which table, written by hand.
func TestRights(t *testing.T) {
	t.Parallel()
	const (
		app, trino, grafana, notebook = "apimetrics_app", "trino_ro", "grafana_ro", "notebook_ro"
	)
	pgtest.New(t, schema).HasRights(t, schema, pgtest.Rights{
		`SELECT * FROM api_logs`: {app, trino, grafana, notebook},
		`INSERT INTO api_logs (served_at, service, route, method, status, duration_us, response_bytes, request_id, api_key) VALUES (now(), 's', '/', 'GET', 200, 1, 1, '', '')`: {app},
		`INSERT INTO api_logs (log_id, served_at, service, route, method, status, duration_us, response_bytes) VALUES (1, now(), 's', '/', 'GET', 200, 1, 1)`:                   nil,
		`UPDATE api_logs SET status = 200`:        nil,
		`DELETE FROM api_logs`:                    nil,
		`TRUNCATE api_logs`:                       nil,
		`SELECT * FROM api_logs_partitions.other`: nil,
		`INSERT INTO api_logs_partitions.other (log_id, served_at, service, route, method, status, duration_us, response_bytes) VALUES (1, now(), 's', '/', 'GET', 200, 1, 1)`: nil,
		`CREATE TABLE api_logs_partitions.mine (id int)`:       nil,
		`SELECT make_api_logs_partitions(ARRAY[current_date])`: {app},
		`SELECT make_api_logs_partition(current_date)`:         nil,
		`SELECT * FROM metrics`:                                {app, trino, grafana, notebook},
		`INSERT INTO metrics (service, route, method, minute, count, errors, client_errors, duration_us_sum, latency_histogram) VALUES ('s', '/', 'GET', '2026-11-23 00:00Z', 1, 0, 0, 1, array_fill(0::bigint, ARRAY[35]))`: {app},
		`UPDATE metrics SET count = count, errors = errors, client_errors = client_errors, duration_us_sum = duration_us_sum, latency_histogram = latency_histogram`:                                                         {app},
		`UPDATE metrics SET route = '/'`:                nil,
		`UPDATE metrics SET minute = minute`:            nil,
		`DELETE FROM metrics`:                           nil,
		`TRUNCATE metrics`:                              nil,
		`SELECT * FROM latency_buckets`:                 {app, trino, grafana, notebook},
		`INSERT INTO latency_buckets VALUES (99, 0, 1)`: nil,
		`UPDATE latency_buckets SET to_us = NULL`:       nil,
		`DELETE FROM latency_buckets`:                   nil,
		`SELECT * FROM idempotency_keys`:                {app},
		`INSERT INTO idempotency_keys (caller, key, request_hash, result) VALUES ('a', 'b', '', '1')`: {app},
		`DELETE FROM idempotency_keys`:              {app},
		`TRUNCATE idempotency_keys`:                 nil,
		`SELECT drop_old_api_logs(30)`:              {app},
		`SELECT delete_old_metrics(400)`:            {app},
		`SELECT * FROM schema_migrations`:           {app},
		`UPDATE schema_migrations SET dirty = true`: nil,
		`SELECT * FROM mesh_meta`:                   {app, trino, grafana, notebook},
		`UPDATE mesh_meta SET touched = true`:       nil,
		`UPDATE mesh_meta SET as_of = '2020-01-01'`: nil,
		`DELETE FROM mesh_meta`:                     nil,
		`CREATE TABLE mine (id int)`:                nil,
	})
}

func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, schema)
	if _, err := db.Connect(t, "apimetrics_app").Exec(t.Context(), `SELECT make_api_logs_partitions('{}')`); err != nil {
		t.Fatal(err)
	}
	db.IsCommented(t, schema)
}

// The bounds of the buckets stand in Go, where metrics are rolled up, and in
// SQL, where dashboards read them.
func TestLatencyBucketsAreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	type bucket struct{ Bucket, From, To int64 }
	var want []bucket
	for i := range apimetrics.Buckets {
		from, to := apimetrics.BucketRange(i)
		want = append(want, bucket{int64(i) + 1, from, to})
	}
	rows, _ := pgtest.New(t, schema).Connect(t, "grafana_ro").Query(t.Context(),
		`SELECT bucket, from_us, coalesce(to_us, $1) FROM latency_buckets ORDER BY bucket`, int64(math.MaxInt64))
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[bucket])
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, %s", err, diff)
	}
}
