package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/apimetrics/migrations"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

var schema = pgtest.Schema{Owner: "apimetrics_owner", App: "apimetrics_app", Migrations: migrations.Files}

func newStore(t *testing.T) (*Store, pgtest.Database) {
	t.Helper()
	t.Parallel()
	db := pgtest.New(t, schema)
	pool, err := database.Open(t.Context(), db.URL("apimetrics_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return New(pool), db
}

func entryAt(at time.Time) apimetrics.Entry {
	return apimetrics.Entry{ServedAt: at, Service: "sales-api", Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, Bytes: 230}
}

// wrongMetrics counts the metrics that differ from those that plain SQL finds in
// api_logs, either way.
const wrongMetrics = `
	WITH expected AS (
		SELECT service, route, method, date_trunc('minute', served_at) AS minute,
		       count(*), count(*) FILTER (WHERE status >= 500) AS errors, count(*) FILTER (WHERE status BETWEEN 400 AND 499) AS client_errors,
		       sum(duration_us)::bigint AS duration_us_sum,
		       (SELECT array_agg((SELECT count(*) FROM unnest(array_agg(l.duration_us)) AS d
		                           WHERE d >= b.from_us AND (d < b.to_us OR b.to_us IS NULL)) ORDER BY b.bucket)
		          FROM latency_buckets AS b) AS latency_histogram
		  FROM api_logs AS l
		 GROUP BY 1, 2, 3, 4)
	SELECT (SELECT count(*) FROM (TABLE expected EXCEPT TABLE metrics) AS missing)
	     + (SELECT count(*) FROM (TABLE metrics EXCEPT TABLE expected) AS surplus)`

// Many writers at once, their batches full of the same keys in any order, never
// make metrics differ from api_logs, and never wait for each other in a circle.
func TestMetricsEqualLogs(t *testing.T) {
	store, db := newStore(t)
	owner := db.Pool(t, "apimetrics_owner")
	begin := time.Now().UTC().Add(-3 * time.Minute)
	const writers, batches = 8, 15
	var writing sync.WaitGroup
	var stored [writers]int
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range batches {
				entries := make([]apimetrics.Entry, 1+random.IntN(60))
				for i := range entries {
					e := entryAt(begin.Add(time.Duration(random.Int64N(int64(3 * time.Minute)))))
					e.Route = fmt.Sprintf("/v1/%d", random.IntN(4))
					e.Method = apimetrics.Methods[random.IntN(3)]
					e.Status = 100 + random.IntN(500)
					e.Duration = int64(random.ExpFloat64() * 1_000_000)
					entries[i] = e
				}
				if err := store.StoreLogs(t.Context(), entries); err != nil {
					t.Errorf("store: %v", err)
				}
				stored[w] += len(entries)
			}
		})
	}
	writing.Wait()
	total := 0
	for _, n := range stored {
		total += n
	}
	var logs, wrong int
	if err := owner.QueryRow(t.Context(), `SELECT count(*) FROM api_logs`).Scan(&logs); err != nil || logs != total {
		t.Errorf("%d logs are stored, want %d; error %v", logs, total, err)
	}
	if err := owner.QueryRow(t.Context(), wrongMetrics).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d metrics differ from the logs, error %v", wrong, err)
	}
	// The check can fail.
	if _, err := owner.Exec(t.Context(), `UPDATE metrics SET latency_histogram[35] = latency_histogram[35] + 1 WHERE route = '/v1/0' AND method = 'GET'`); err != nil {
		t.Fatal(err)
	}
	if err := owner.QueryRow(t.Context(), wrongMetrics).Scan(&wrong); err != nil || wrong == 0 {
		t.Errorf("a planted fault was not seen, error %v", err)
	}
}

// A batch of which one entry cannot be stored leaves nothing behind.
func TestBatchIsStoredWholeOrNot(t *testing.T) {
	store, db := newStore(t)
	good, bad := entryAt(time.Now()), entryAt(time.Now())
	bad.Status = 42
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{good, bad}); err == nil {
		t.Error("status 42 was stored")
	}
	var rows int
	err := db.Connect(t, "apimetrics_owner").QueryRow(t.Context(), `SELECT (SELECT count(*) FROM api_logs) + (SELECT count(*) FROM metrics)`).Scan(&rows)
	if err != nil || rows != 0 {
		t.Errorf("%d rows were left behind, error %v", rows, err)
	}
}

// Every request is logged, which changes nothing that was seeded.
func TestLogsDoNotTouch(t *testing.T) {
	store, db := newStore(t)
	owner := db.Connect(t, "apimetrics_owner")
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
	if _, err := store.Logs(t.Context(), apimetrics.LogFilter{Limit: 1}); err != nil || touched() {
		t.Errorf("reading touched, error %v", err)
	}
	if err := store.MakePartitions(t.Context()); err != nil || touched() {
		t.Errorf("making partitions touched, error %v", err)
	}
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(time.Now())}); err != nil || touched() {
		t.Errorf("a batch touched, error %v", err)
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
	_, logsErr := store.Logs(t.Context(), apimetrics.LogFilter{Limit: 1})
	_, totalsErr := store.Totals(t.Context(), apimetrics.MetricFilter{})
	_, timelineErr := store.Timeline(t.Context(), apimetrics.MetricFilter{}, apimetrics.Hour)
	storeErr := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(time.Now())})
	for _, err := range []error{logsErr, totalsErr, timelineErr, storeErr, store.Ready(t.Context()), store.MakePartitions(t.Context())} {
		if !errors.Is(err, apimetrics.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}
