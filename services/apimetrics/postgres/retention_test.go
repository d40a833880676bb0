package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/idempotency"
)

// Whole days go, oldest first; what is kept is untouched, and metrics stay longer.
func TestDrop(t *testing.T) {
	store, db := newStore(t)
	now := time.Now().UTC()
	ago := func(days int) apimetrics.Entry { return entryAt(now.AddDate(0, 0, -days)) }
	// 60 and more days ago there is no partition: these rows are in the default one.
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{ago(0), ago(9), ago(10), ago(11), ago(12), ago(60), ago(90), ago(120)}); err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		for _, rows := range rowsIn(t, db) {
			n += rows
		}
		return n
	}
	metrics := func() (n int) {
		if err := db.Connect(t, "apimetrics_owner").QueryRow(t.Context(), `SELECT count(*) FROM metrics`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := store.Drop(t.Context(), Retention{Logs: 10, Metrics: 100}); err != nil {
		t.Fatal(err)
	}
	got := rowsIn(t, db)
	if _, there := got[partitionOf(now.AddDate(0, 0, -11))]; there || got[partitionOf(now.AddDate(0, 0, -10))] != 1 || got["other"] != 0 || left() != 3 || metrics() != 7 {
		t.Errorf("left %v and %d metrics", got, metrics())
	}
	// The days before as_of stay, however long ago.
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{ago(29), ago(35), ago(40)}); err != nil {
		t.Fatal(err)
	}
	_, err := db.Connect(t, "apimetrics_owner").Exec(t.Context(), `
		INSERT INTO mesh_meta (as_of, seed, scale, row_counts, state) VALUES ($1, 42, 'demo', '{}', 'seeded')`, now.AddDate(0, 0, -30))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Drop(t.Context(), Retention{Logs: 9, Metrics: 1}); err != nil {
		t.Fatal(err)
	}
	// 29 lies behind as_of, 40 more than nine days before it, 10 is over.
	if got := rowsIn(t, db); left() != 3 || got[partitionOf(now.AddDate(0, 0, -35))] != 1 || got[partitionOf(now.AddDate(0, 0, -9))] != 1 {
		t.Errorf("left %v", got)
	}
	if n := metrics(); n != 6 { // of the days since 31 days ago: 0, 9, 10, 11, 12, 29
		t.Errorf("%d metrics are left", n)
	}
	if err := store.Drop(t.Context(), Retention{}); err == nil {
		t.Error("a retention of no day is taken")
	}
}

// Tidy drops at once, not only after its first hour, and ends with its context.
func TestTidy(t *testing.T) {
	store, db := newStore(t)
	now := time.Now().UTC()
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(now), entryAt(now.AddDate(0, 0, -20))}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		store.Tidy(ctx, Retention{Logs: 10, Metrics: 100})
	}()
	owner := db.Connect(t, "apimetrics_owner")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var dropped, ahead bool
		if err := owner.QueryRow(t.Context(), `SELECT to_regclass('api_logs_partitions.' || $1) IS NULL, to_regclass('api_logs_partitions.' || $2) IS NOT NULL`,
			partitionOf(now.AddDate(0, 0, -20)), partitionOf(now.AddDate(0, 0, 1))).Scan(&dropped, &ahead); err != nil {
			t.Fatal(err)
		}
		if dropped && ahead {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the old day is dropped: %t, tomorrow is there: %t", dropped, ahead)
		}
	}
	if got := rowsIn(t, db); got[partitionOf(now)] != 1 {
		t.Errorf("left %v", got)
	}
	stop()
	<-ended
}

// A reader keeps a partition from being dropped, not the logger from working.
func TestDropGivesWayToReaders(t *testing.T) {
	store, db := newStore(t)
	old := entryAt(time.Now().AddDate(0, 0, -20))
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{old}); err != nil {
		t.Fatal(err)
	}
	reader, err := db.Connect(t, "grafana_ro").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM api_logs`); err != nil {
		t.Fatal(err)
	}
	keep := Retention{Logs: 10, Metrics: 400}
	if err := store.Drop(t.Context(), keep); err == nil {
		t.Error("dropped under a reader")
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Drop(t.Context(), keep); err != nil || rowsIn(t, db)[partitionOf(old.ServedAt)] != 0 {
		t.Errorf("error %v, left %v", err, rowsIn(t, db))
	}
}

func TestDays(t *testing.T) {
	for text, good := range map[string]bool{"1": true, "30": true, "36500": true, "": false, "0": false, "-1": false, "36501": false, "1.5": false, "30d": false} {
		var d Days
		if err := d.UnmarshalText([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A batch that is sent again is stored once, also into a day without partition.
func TestBatchesAreStoredOnce(t *testing.T) {
	store, db := newStore(t)
	ctx := idempotency.With(t.Context(), idempotency.Request{Caller: "sales-api-logging", Key: "batch", Hash: []byte("body")})
	entries := []apimetrics.Entry{entryAt(time.Now()), entryAt(time.Now().AddDate(0, 0, -50))}
	for range 3 {
		if err := store.StoreLogs(ctx, entries); err != nil {
			t.Fatal(err)
		}
	}
	list, err := store.Logs(t.Context(), apimetrics.LogFilter{Limit: 10})
	if err != nil || len(list) != 2 {
		t.Errorf("%d are stored, error %v", len(list), err)
	}
	var wrong int
	if err := db.Connect(t, "apimetrics_owner").QueryRow(t.Context(), wrongMetrics).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d metrics differ from the logs, error %v", wrong, err)
	}
}
