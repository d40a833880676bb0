package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// fakeMesh gives prepared answers; the tests of the whole mesh ask the real
// one.
type fakeMesh struct {
	trino  map[string][][]string // by statement
	oracle map[string][][]string
	states []string // of the data, at each look; the last one stays
	looks  int
}

func (f *fakeMesh) Texts(_ context.Context, sql string) ([][]string, error) {
	rows, ok := f.trino[sql]
	if !ok {
		return nil, fmt.Errorf("unexpected statement %s", sql)
	}
	return rows, nil
}

func (f *fakeMesh) ask(_ context.Context, statements ...string) ([][][]string, error) {
	var results [][][]string
	for _, s := range statements {
		if s == text("oracle/state.sql") {
			results = append(results, [][]string{{f.states[min(f.looks, len(f.states)-1)]}})
			f.looks++
			continue
		}
		rows, ok := f.oracle[s]
		if !ok {
			return nil, fmt.Errorf("unexpected statement %s", s)
		}
		results = append(results, rows)
	}
	return results, nil
}

var two = Query{Name: "Q2", About: "test", SQL: "trino's", Oracle: "oracle's", Sum: 1, Columns: "name, revenue", Golden: 2}

// newFake is a mesh as seeded, that answers right: rows in two orders, and an
// amount whose sum no binary fraction holds.
func newFake() *fakeMesh {
	meta := [][]string{{"2026-11-23", "demo", "42", "seeded", "false"}}
	return &fakeMesh{
		trino: map[string][][]string{
			"SELECT as_of, scale, seed, state, touched FROM sales.public.mesh_meta":     meta,
			"SELECT as_of, scale, seed, state, touched FROM marketing.public.mesh_meta": meta,
			"SELECT count(*) FROM sales.public.customers":                               {{"1000"}},
			"SELECT count(DISTINCT segment) FROM sales.public.customers":                {{"5"}},
			"SELECT count(*) FROM marketing.public.leads":                               {{"2500"}},
			"SELECT count(*) FROM marketing.public.campaigns":                           {{"9"}},
			"trino's":     {{"b", "0.20"}, {"a", "0.10"}},
			sumQuery(two): {{"2", "0.30"}},
		},
		oracle: map[string][][]string{"oracle's": {{"a", "0.10"}, {"b", "0.20"}}},
		states: []string{"quiet"},
	}
}

func (f *fakeMesh) run(t *testing.T) (*Report, error) {
	t.Helper()
	m := Mesh{Trino: f, Oracle: f.ask, Attempts: 3, Queries: []Query{two}}
	return m.Run(context.Background(), 3, io.Discard)
}

func (f *fakeMesh) report(t *testing.T) *Report {
	t.Helper()
	r, err := f.run(t)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func failures(r *Report) []string {
	var all []string
	for _, c := range r.Checks {
		if !c.OK {
			all = append(all, fmt.Sprintf("%s, %s: expected %s, found %s", c.Query, c.Check, c.Expected, c.Found))
		}
	}
	return all
}

func wantFailures(t *testing.T, r *Report, want ...string) {
	t.Helper()
	if got := failures(r); !slices.Equal(got, want) {
		t.Errorf("failed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.Failed != len(want) {
		t.Errorf("%d failed, want %d", r.Failed, len(want))
	}
}

func TestAllRight(t *testing.T) {
	r := newFake().report(t)
	wantFailures(t, r)
	// Rows and sum by the other path; four counts and one query as seeded.
	if len(r.Checks) != 2+5 {
		t.Errorf("%d checks, want 7", len(r.Checks))
	}
	if !r.AsSeed || r.Why != "" {
		t.Errorf("as seeded: %v, %q", r.AsSeed, r.Why)
	}
	if len(r.Timings) != 1 || r.Timings[0].Rows != 2 || r.Timings[0].WarmRuns != 3 {
		t.Errorf("timings %+v", r.Timings)
	}
}

// Each planted fault is found, and named.
func TestPlantedFaults(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(*fakeMesh)
		want  []string
	}{
		"an amount differs": {
			func(f *fakeMesh) { f.oracle["oracle's"] = [][]string{{"a", "0.10"}, {"b", "0.21"}} },
			[]string{
				"Q2, rows by another path: expected 2 rows, with no such row, found 2 rows, with (b, 0.20)",
				"Q2, sum by another path: expected 2 rows, 0.31, found 2 rows, 0.30",
			},
		},
		"a text differs, sums agree": {
			func(f *fakeMesh) { f.oracle["oracle's"] = [][]string{{"a", "0.10"}, {"c", "0.20"}} },
			[]string{"Q2, rows by another path: expected 2 rows, with no such row, found 2 rows, with (b, 0.20)"},
		},
		"the oracle has a row more": {
			func(f *fakeMesh) { f.oracle["oracle's"] = [][]string{{"a", "0.10"}, {"b", "0.20"}, {"b", "0.20"}} },
			[]string{
				"Q2, rows by another path: expected 3 rows, with (b, 0.20), found 2 rows, with no such row",
				"Q2, sum by another path: expected 3 rows, 0.50, found 2 rows, 0.30",
			},
		},
		"the oracle has no rows": {
			func(f *fakeMesh) { f.oracle["oracle's"] = nil },
			[]string{
				"Q2, rows by another path: expected 0 rows, with no such row, found 2 rows, with (a, 0.10)",
				"Q2, sum by another path: expected 0 rows, 0.00, found 2 rows, 0.30",
			},
		},
		"Trino sums up wrong": {
			func(f *fakeMesh) { f.trino[sumQuery(two)] = [][]string{{"2", "0.31"}} },
			[]string{"Q2, sum by another path: expected 2 rows, 0.30, found 2 rows, 0.31"},
		},
		"a lead was planted": {
			func(f *fakeMesh) {
				f.trino["SELECT count(*) FROM marketing.public.leads"] = [][]string{{"2501"}}
				f.trino["trino's"] = append(f.trino["trino's"], []string{"c", "0.00"})
				f.oracle["oracle's"] = append(f.oracle["oracle's"], []string{"c", "0.00"})
				f.trino[sumQuery(two)] = [][]string{{"3", "0.30"}}
			},
			[]string{
				"leads, as seeded: expected 2500, found 2501",
				"Q2, as seeded: expected 2 rows, found 3 rows",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			c.plant(f)
			wantFailures(t, f.report(t), c.want...)
		})
	}
}

// When the golden figures need not hold, the report says why, and the other
// path still counts.
func TestNotAsSeeded(t *testing.T) {
	for _, c := range []struct{ sales, marketing, want string }{
		{"2026-11-23 demo 42 seeded true", "2026-11-23 demo 42 seeded false", "sales has been written to through its API since it was seeded"},
		{"2026-11-23 demo 42 seeded false", "2026-11-23 demo 42 seeded true", "marketing has been written to through its API since it was seeded"},
		{"2026-11-23 demo 42 seeding false", "2026-11-23 demo 42 seeded false", "sales is not seeded (seeding)"},
		{"2026-11-23 demo 42 seeded false", "", "marketing is not seeded (never seeded)"},
		{"2026-11-23 small 42 seeded false", "2026-11-23 small 42 seeded false", "sales was seeded with --scale small --seed 42; the golden figures are those of --scale demo --seed 42"},
		{"2026-11-23 demo 42 seeded false", "2026-11-23 demo 7 seeded false", "marketing was seeded with --scale demo --seed 7; the golden figures are those of --scale demo --seed 42"},
	} {
		f := newFake()
		for name, meta := range map[string]string{"sales": c.sales, "marketing": c.marketing} {
			var rows [][]string
			if meta != "" {
				rows = [][]string{strings.Fields(meta)}
			}
			f.trino["SELECT as_of, scale, seed, state, touched FROM "+name+".public.mesh_meta"] = rows
		}
		// A fault that only the golden figures would show.
		f.trino["SELECT count(*) FROM marketing.public.leads"] = [][]string{{"1"}}
		r := f.report(t)
		if r.AsSeed || r.Why != c.want {
			t.Errorf("got %q, want %q", r.Why, c.want)
		}
		wantFailures(t, r)
		if len(r.Checks) != 2 {
			t.Errorf("%d checks, want 2", len(r.Checks))
		}
	}
}

// While the data changes, the answers of two paths say nothing.
func TestDataChanges(t *testing.T) {
	f := newFake()
	f.states = []string{"before", "after", "quiet"}
	f.report(t)
	if f.looks != 4 {
		t.Errorf("looked %d times, want 4", f.looks)
	}

	f = newFake()
	f.states = []string{"1", "2", "3", "4", "5", "6", "7"}
	if _, err := f.run(t); err == nil || !strings.Contains(err.Error(), "changed during each of 3 comparisons") {
		t.Errorf("got %v, want an error after 3 comparisons", err)
	}
	if f.looks != 6 {
		t.Errorf("looked %d times, want 6", f.looks)
	}
}

func TestTrinoFails(t *testing.T) {
	f := newFake()
	delete(f.trino, "trino's")
	if _, err := f.run(t); err == nil || !strings.HasPrefix(err.Error(), "Q2: ") {
		t.Errorf("got %v, want an error that names Q2", err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

// The seed's query stands there word for word.
func TestQ2IsTheSeedsQuery(t *testing.T) {
	const seed = `SELECT s.customer_name, m.campaign_name, SUM(s.revenue) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email GROUP BY 1, 2`
	var lines []string
	for line := range strings.Lines(Queries()[1].SQL) {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	if got := strings.Join(strings.Fields(strings.Join(lines, " ")), " "); got != seed {
		t.Errorf("got  %s\nwant %s", got, seed)
	}
}

func TestQueries(t *testing.T) {
	for _, q := range Queries() {
		column := strings.TrimSpace(strings.Split(q.Columns, ",")[q.Sum])
		if column != "revenue" {
			t.Errorf("%s sums up %s", q.Name, column)
		}
		if strings.Contains(q.Oracle, "public.") {
			t.Errorf("%s: the oracle reads the schemas sales and marketing", q.Name)
		}
	}
}

var errStopped = errors.New("stopped")

func TestOracleFails(t *testing.T) {
	f := newFake()
	m := Mesh{Trino: f, Attempts: 3, Queries: []Query{two},
		Oracle: func(context.Context, ...string) ([][][]string, error) { return nil, errStopped }}
	if _, err := m.Run(context.Background(), 1, io.Discard); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}
