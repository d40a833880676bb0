package seed

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/apimetrics/migrations"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/seeding"
)

var schema = pgtest.Schema{Owner: "apimetrics_owner", App: "apimetrics_app", Migrations: migrations.Files}

var demo = seeding.Params{Scale: "demo", Seed: 42, AsOf: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Rows: population.Scales["demo"]}

func domain(t *testing.T, service string) seeding.Domain {
	t.Helper()
	d, err := Domain(service)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The days cover all requests, each the requests of its own day, in the order of
// time, for all shapes of row counts.
func TestRequestsOfADayAreOneRange(t *testing.T) {
	t.Parallel()
	for _, rows := range []int64{0, 1, 13, 2000, 20_000} {
		p := demo
		p.Rows.APILogs = rows
		m := newMaker(p, "sales-api", apis["sales-api"])
		if m.firstOf(0) != 1 || m.firstOf(days) != rows+1 {
			t.Errorf("%d rows: the days cover %d to %d", rows, m.firstOf(0), m.firstOf(days)-1)
		}
		last := m.first
		for day := range days {
			begin := m.first.AddDate(0, 0, day)
			for n := m.firstOf(day); n < m.firstOf(day+1); n++ {
				at := m.entry(n).ServedAt
				if at.Before(last) || at.Before(begin) || !at.Before(begin.AddDate(0, 0, 1)) {
					t.Fatalf("%d rows: request %d of %v is at %v, the one before at %v", rows, n, begin, at, last)
				}
				last = at
			}
		}
	}
}

// A row made alone equals the row made among all others.
func TestRowsArePure(t *testing.T) {
	t.Parallel()
	for service := range apis {
		plan, again := domain(t, service).Plan(demo), domain(t, service).Plan(demo)
		var before []any
		for _, c := range plan.Transaction(3) {
			for n := c.From; n < c.To; n++ {
				before = append(before, c.Row(n))
			}
		}
		var after []any
		for _, c := range again.Transaction(3) {
			rows := make([]any, c.To-c.From)
			for n := c.To - 1; n >= c.From; n-- {
				rows[n-c.From] = c.Row(n)
			}
			after = append(after, rows...)
		}
		if diff := cmp.Diff(before, after); diff != "" || len(before) == 0 {
			t.Errorf("%s: %d rows, %s", service, len(before), diff)
		}
	}
}

// The requests are worth a dashboard: a rhythm, a slow route, callers' mistakes,
// and one bad hour among few errors.
func TestRequestsLookAlive(t *testing.T) {
	t.Parallel()
	for service, slow := range map[string]string{"sales-api": "/v1/revenue", "marketing-ingest": "/v1/leads/batch"} {
		m := newMaker(demo, service, apis[service])
		errors, requests := map[time.Time]int{}, map[time.Time]int{}
		var night, noon, weekends, refused int
		durations := map[string]float64{}
		counts := map[string]float64{}
		for n := int64(1); n <= m.Rows.APILogs; n++ {
			e := m.entry(n)
			hour := e.ServedAt.Truncate(time.Hour)
			requests[hour]++
			if e.Status >= 500 {
				errors[hour]++
			} else if e.Status >= 400 {
				refused++
			}
			if weekend(hour) {
				weekends++
			}
			switch (hour.Hour() - m.api.peak + 36) % 24 { // 12 at the peak
			case 0:
				night++
			case 12:
				noon++
			}
			if e.Status < 400 {
				counts[e.Route]++
				durations[e.Route] += math.Log(float64(e.Duration))
			}
		}
		if noon < 4*night || weekends*5 > int(m.Rows.APILogs)*2 || weekends == 0 {
			t.Errorf("%s: %d requests at noon, %d at night, %d on weekends", service, noon, night, weekends)
		}
		if share := float64(refused) / float64(m.Rows.APILogs); share < 0.02 || share > 0.08 {
			t.Errorf("%s: %.3f of the requests were refused", service, share)
		}
		for route := range counts {
			if route != slow && durations[route]/counts[route] > durations[slow]/counts[slow]-1 {
				t.Errorf("%s: %s is as slow as %s", service, route, slow)
			}
		}
		others := 0
		for hour, n := range errors {
			if hour != m.badHour {
				others += n
			}
		}
		if bad := errors[m.badHour]; bad*5 < requests[m.badHour] || others*200 > int(m.Rows.APILogs) || others == 0 {
			t.Errorf("%s: %d errors of %d requests in the bad hour, %d in all others", service, bad, requests[m.badHour], others)
		}
	}
}

func run(ctx context.Context, t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = seeding.Main(ctx, domain(t, ""), append([]string{"--scale", "small", "--as-of", "2026-11-23"}, args...), &out, &out)
	return code, out.String()
}

func fingerprint(t *testing.T, db pgtest.Database) (sum string) {
	t.Helper()
	err := db.Connect(t, "apimetrics_owner").QueryRow(t.Context(), `
		SELECT md5((SELECT string_agg(l::text, '|' ORDER BY log_id) FROM api_logs AS l)
		        || (SELECT string_agg(m::text, '|' ORDER BY service, route, method, minute) FROM metrics AS m))`).Scan(&sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
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

func TestSeeding(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("apimetrics_owner"))
	conn := db.Connect(t, "apimetrics_owner")

	if code, out := run(t.Context(), t); code != 0 || !strings.Contains(out, "api_logs 2000\nmetrics ") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	first := fingerprint(t, db)
	var wrong, outside, stray, touched int
	err := conn.QueryRow(t.Context(), `
		SELECT (`+wrongMetrics+`),
		       (SELECT count(*) FROM api_logs WHERE served_at >= '2026-11-23 00:00Z' OR served_at < '2026-11-09 00:00Z'),
		       (SELECT count(*) FROM api_logs_partitions.other),
		       (SELECT count(*) FROM mesh_meta WHERE touched OR state <> 'seeded')`).Scan(&wrong, &outside, &stray, &touched)
	if err != nil || wrong+outside+stray+touched != 0 {
		t.Errorf("%d wrong metrics, %d logs outside the 14 days, %d in the default partition, %d unfinished or touched; error %v", wrong, outside, stray, touched, err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO api_logs (served_at, service, route, method, status, duration_us, response_bytes) VALUES ('2026-11-22', 's', '/', 'GET', 200, 1, 1)`); err != nil {
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
	t.Setenv("DATABASE_URL", db.URL("apimetrics_owner"))
	conn := db.Connect(t, "apimetrics_owner")
	rows := []string{"--rows", "api_logs=5000"}
	if code, out := run(t.Context(), t, rows...); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	whole := fingerprint(t, db)

	// The sixth day meets a row that is in its way and is rolled back; what was
	// committed stays, true to its rules, and the same command goes on from there.
	if _, err := conn.Exec(t.Context(), `TRUNCATE api_logs, metrics, mesh_meta; ALTER TABLE metrics ADD CONSTRAINT planted CHECK (minute < '2026-11-14 12:00Z')`); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t.Context(), t, rows...); code != 1 || !strings.Contains(out, "transaction 6 of 14") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var wrong, stored int
	if err := conn.QueryRow(t.Context(), `SELECT (`+wrongMetrics+`), (SELECT count(*) FROM api_logs)`).Scan(&wrong, &stored); err != nil || wrong != 0 || stored == 0 {
		t.Errorf("after five days %d metrics differ from %d logs, error %v", wrong, stored, err)
	}
	if _, err := conn.Exec(t.Context(), `ALTER TABLE metrics DROP CONSTRAINT planted`); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t.Context(), t, "--rows", "api_logs=77"); code != 1 || !strings.Contains(out, "other settings") {
		t.Errorf("other settings: exit code %d: %s", code, out)
	}
	var other bytes.Buffer
	if code := seeding.Main(t.Context(), domain(t, "marketing-ingest"), append([]string{"--scale", "small", "--as-of", "2026-11-23"}, rows...), &other, &other); code != 1 || !strings.Contains(other.String(), "of sales-api") {
		t.Errorf("another service: exit code %d: %s", code, other.String())
	}
	if code, out := run(t.Context(), t, append(rows, "--if-empty")...); code != 0 || !strings.Contains(out, "5 of 14 transactions are done") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if got := fingerprint(t, db); got != whole {
		t.Error("the rows differ from those of an uninterrupted seeding")
	}
}

func TestUnknownServiceIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := Domain("billing"); err == nil || !strings.Contains(err.Error(), "marketing-ingest, sales-api") {
		t.Errorf("got %v, want an error that names the known APIs", err)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
	for _, args := range [][]string{{"--rows", "api_logs=-1"}, {"--rows", "metrics=5"}, {"--rows", "customers=5"}} {
		if code, out := run(t.Context(), t, args...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	if code, out := run(t.Context(), t); code != 3 {
		t.Errorf("no database: exit code %d: %s", code, out)
	}
}
