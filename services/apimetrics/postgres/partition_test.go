package postgres

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// partitionOf gives the name that the partition of the time has, or would have.
func partitionOf(at time.Time) string { return "day_" + at.UTC().Format("20060102") }

// rowsIn gives the number of rows in each partition, by name.
func rowsIn(t *testing.T, db pgtest.Database) map[string]int {
	t.Helper()
	conn := db.Connect(t, "apimetrics_owner")
	rows, _ := conn.Query(t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'api_logs'::regclass`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, name := range names {
		var n int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM `+name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[strings.TrimPrefix(name, "api_logs_partitions.")] = n
	}
	return counts
}

func TestPartitionsAreMadeAhead(t *testing.T) {
	store, db := newStore(t)
	if got := rowsIn(t, db); len(got) != 1 {
		t.Fatalf("a new database has the partitions %v", got)
	}
	before := time.Now()
	if err := store.MakePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := rowsIn(t, db)
	for ahead := range 3 {
		if _, there := got[partitionOf(before.AddDate(0, 0, ahead))]; !there {
			t.Errorf("no partition for %d days ahead: %v", ahead, got)
		}
	}
}

func TestEntriesGoToThePartitionOfTheirDay(t *testing.T) {
	store, db := newStore(t)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	times := map[string]time.Time{
		"today":            today,
		"end of yesterday": today.Add(-time.Microsecond),
		"30 days ago":      today.AddDate(0, 0, -30),
		"another zone":     today.Add(-26 * time.Hour).In(time.FixedZone("far", -12*3600)),
	}
	for name, at := range times {
		if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(at)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	got := rowsIn(t, db)
	for name, at := range times {
		if got[partitionOf(at)] != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A day is one of UTC and has 24 hours, even when the clocks of the session's
// zone change on it.
func TestDaysAreThoseOfUTC(t *testing.T) {
	store, db := newStore(t)
	owner := db.Connect(t, "apimetrics_owner")
	for _, statement := range []string{`SET timezone = 'America/New_York'`, `SELECT make_api_logs_partition('2026-03-08')`, `SELECT make_api_logs_partition('2026-11-01')`} {
		if _, err := owner.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, day := range []time.Time{time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)} {
		next := day.Add(24 * time.Hour)
		if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(day.Add(-1000)), entryAt(day), entryAt(next.Add(-1000)), entryAt(next)}); err != nil {
			t.Fatal(err)
		}
		if got := rowsIn(t, db); got[partitionOf(day)] != 2 {
			t.Errorf("%v: %v", day, got)
		}
	}
}

// A strange time loses no batch, and makes no partition.
func TestStrangeTimesGoToTheDefaultPartition(t *testing.T) {
	store, db := newStore(t)
	now := time.Now()
	entries := []apimetrics.Entry{
		entryAt(now), entryAt(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), entryAt(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)),
		entryAt(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), entryAt(now.AddDate(0, 0, 9)), entryAt(now.AddDate(0, 0, -42)),
	}
	if err := store.StoreLogs(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if got := rowsIn(t, db); got["other"] != 5 || got[partitionOf(now)] != 1 || len(got) > 5 {
		t.Errorf("got %v", got)
	}
	var wrong int
	if err := db.Connect(t, "apimetrics_owner").QueryRow(t.Context(), wrongMetrics).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d metrics differ from the logs, error %v", wrong, err)
	}
}

// Rows that came before the partition of their day move into it.
func TestRowsMoveFromTheDefaultPartition(t *testing.T) {
	store, db := newStore(t)
	old := time.Now().AddDate(0, 0, -50)
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(old), entryAt(old.AddDate(0, 0, -1))}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Connect(t, "apimetrics_owner").Exec(t.Context(), `SELECT make_api_logs_partition($1)`, old.UTC()); err != nil {
		t.Fatal(err)
	}
	if got := rowsIn(t, db); got["other"] != 1 || got[partitionOf(old)] != 1 {
		t.Errorf("got %v", got)
	}
	if list, err := store.Logs(t.Context(), apimetrics.LogFilter{Limit: 10}); err != nil || len(list) != 2 || list[1].ID != 1 {
		t.Errorf("got %v, error %v", list, err)
	}
}

// Several writers meet a day without partition at once.
func TestConcurrentWritersMakeOnePartition(t *testing.T) {
	store, db := newStore(t)
	start := make(chan struct{})
	var writing sync.WaitGroup
	at := time.Now().AddDate(0, 0, -20)
	for range 12 {
		writing.Go(func() {
			<-start
			for day := range 4 {
				if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(at.AddDate(0, 0, day))}); err != nil {
					t.Errorf("store: %v", err)
				}
			}
		})
	}
	close(start)
	writing.Wait()
	// On a slow machine a writer may have given up waiting for the others; its
	// rows are where the next writer moves them from.
	for day := range 4 {
		if err := store.MakePartitions(t.Context(), entryAt(at.AddDate(0, 0, day))); err != nil {
			t.Fatal(err)
		}
	}
	got := rowsIn(t, db)
	for day := range 4 {
		if n := got[partitionOf(at.AddDate(0, 0, day))]; n != 12 || got["other"] != 0 {
			t.Errorf("got %v", got)
		}
	}
}

// A reader that keeps the default partition locked keeps the partition from
// being made, not the batch from being stored.
func TestBatchOutlivesALockedDefaultPartition(t *testing.T) {
	store, db := newStore(t)
	reader, err := db.Connect(t, "apimetrics_owner").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM api_logs`); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if err := store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(at)}); err != nil {
		t.Fatal(err)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rowsIn(t, db); got["other"] != 1 || len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if err := store.MakePartitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rowsIn(t, db); got["other"] != 0 || got[partitionOf(at)] != 1 {
		t.Errorf("got %v", got)
	}
}

// A batch on its way into the default partition meets the partition of its day,
// which another writer made in the meantime.
func TestBatchFindsAPartitionMadeInTheMeantime(t *testing.T) {
	store, db := newStore(t)
	maker, err := db.Connect(t, "apimetrics_owner").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	if _, err := maker.Exec(t.Context(), `SELECT make_api_logs_partition($1)`, at.UTC()); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error)
	go func() { stored <- store.StoreLogs(t.Context(), []apimetrics.Entry{entryAt(at)}) }()
	watcher := db.Connect(t, "apimetrics_owner")
	for waiting := false; !waiting; { // until the COPY waits for the default partition
		err := watcher.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'api_logs_partitions.other'::regclass AND NOT granted AND mode = 'RowExclusiveLock')`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := maker.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if got := rowsIn(t, db); got["other"] != 0 || got[partitionOf(at)] != 1 {
		t.Errorf("got %v", got)
	}
}
