package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/query"
)

// A fakeTrino says today, compares as told and counts what is written.
type fakeTrino struct {
	today    string
	compare  func(written int) [][]string // how often something was written
	conflict int                          // that many first writes lose
	writes   []string
}

func (f *fakeTrino) Texts(_ context.Context, statement string) ([][]string, error) {
	switch word, _, _ := strings.Cut(statement, " "); {
	case strings.Contains(statement, "current_timestamp"):
		return [][]string{{f.today}}, nil
	case word == "MERGE":
		f.writes = append(f.writes, statement)
		if len(f.writes) <= f.conflict {
			return nil, &query.Error{Name: "ICEBERG_COMMIT_ERROR", Message: "somebody else was first"}
		}
		return [][]string{{"1"}}, nil
	case word == "SELECT":
		return f.compare(len(f.writes)), nil
	}
	return nil, nil
}

var orders, logs = Tables[0], Tables[2]

func row(first string, source, lake int) []string {
	r := []string{first}
	for _, rows := range []int{source, lake} {
		digest := fmt.Sprintf("D%d", rows)
		if rows == 0 {
			digest = query.Null
		}
		r = append(r, fmt.Sprint(rows), fmt.Sprint(rows*10), digest)
	}
	return r
}

func run(f *fakeTrino, t Table, o Options) (found []Partition, err error) {
	total := -1
	err = Run(context.Background(), f, t, o, func(p Partition, left int) error {
		found = append(found, p)
		if total < 0 {
			total = left + 1
		}
		if len(found)+left != total {
			return fmt.Errorf("after %d partitions %d are left of %d", len(found), left, total)
		}
		return nil
	})
	return found, err
}

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatDiffersIsWrittenOnce(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(written int) [][]string {
		if written > 0 {
			return [][]string{row("2026-03-01", 5, 5)}
		}
		return [][]string{row("2026-01-01", 7, 7), row("2026-03-01", 5, 2)}
	}}
	found, err := run(f, orders, Options{})
	want := []Partition{{"sales.orders", "2026-01", 7, "70", Unchanged}, {"sales.orders", "2026-03", 5, "50", Exported}}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%v %v, want %v", found, err, want)
	}
	if len(f.writes) != 1 || !strings.Contains(f.writes[0], "ordered_at >= TIMESTAMP '2026-03-01 00:00:00 UTC' AND ordered_at < TIMESTAMP '2026-03-10 00:00:00 UTC'") {
		t.Errorf("writes %v", f.writes)
	}
}

func TestAPartitionIsWrittenWithinTheDaysAskedFor(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(written int) [][]string {
		return [][]string{row("2026-02-01", 3, min(3, 3*written))}
	}}
	if _, err := run(f, orders, Options{Since: day(t, "2026-02-07"), Until: day(t, "2026-02-08")}); err != nil {
		t.Fatal(err)
	}
	if len(f.writes) != 1 || !strings.Contains(f.writes[0], "ordered_at >= TIMESTAMP '2026-02-07 00:00:00 UTC' AND ordered_at < TIMESTAMP '2026-02-09 00:00:00 UTC'") {
		t.Errorf("writes %v", f.writes)
	}
}

func TestOnlyFinishedDays(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(int) [][]string { return nil }}
	for _, o := range []Options{{Until: day(t, "2026-03-10")}, {Since: day(t, "2026-03-10")}, {Since: day(t, "2026-04-01"), Until: day(t, "2026-04-02")}} {
		if _, err := run(f, orders, o); !errors.Is(err, ErrNotOver) {
			t.Errorf("%v: %v", o, err)
		}
	}
	if _, err := run(f, orders, Options{Since: day(t, "2026-03-09"), Until: day(t, "2026-03-09")}); err != nil {
		t.Error(err)
	}
}

func TestASourceThatKeepsChangingDiffers(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(int) [][]string { return [][]string{row("2026-01-01", 9, 8)} }}
	found, err := run(f, orders, Options{})
	if err != nil || len(found) != 1 || found[0].State != Differs || found[0].Verified() || len(f.writes) != attempts {
		t.Errorf("%v %v after %d writes", found, err, len(f.writes))
	}
}

func TestEqualCountAndSumAreNotEnough(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(written int) [][]string {
		r := row("2026-01-01", 9, 9)
		if written == 0 {
			r[6] = "another status"
		}
		return [][]string{r}
	}}
	if found, err := run(f, orders, Options{}); err != nil || len(f.writes) != 1 || found[0].State != Exported {
		t.Errorf("%v %v %d", found, err, len(f.writes))
	}
}

func TestConflicts(t *testing.T) {
	compare := func(written int) [][]string { return [][]string{row("2026-01-01", 9, min(1, written/2)*9)} }
	f := &fakeTrino{today: "2026-03-10", compare: compare, conflict: 1}
	if found, err := run(f, orders, Options{}); err != nil || found[0].State != Exported {
		t.Errorf("one lost: %v %v", found, err)
	}
	f = &fakeTrino{today: "2026-03-10", compare: func(int) [][]string { return [][]string{row("2026-01-01", 9, 0)} }, conflict: 99}
	_, err := run(f, orders, Options{})
	if lost, ok := errors.AsType[*query.Error](err); !ok || lost.Name != "ICEBERG_COMMIT_ERROR" || len(f.writes) != attempts {
		t.Errorf("all lost: %v after %d", err, len(f.writes))
	}
}

// What the domain has dropped stays, and no statement reaches over it.
func TestDroppedDaysAreKept(t *testing.T) {
	f := &fakeTrino{today: "2026-03-10", compare: func(written int) [][]string {
		return [][]string{row("2026-03-01", 4, 4*min(written, 1)), row("2026-03-02", 0, 6), row("2026-03-03", 5, 5*min(written/2, 1))}
	}}
	found, err := run(f, logs, Options{})
	var states []State
	for _, p := range found {
		states = append(states, p.State)
	}
	if err != nil || !slices.Equal(states, []State{Exported, Kept, Exported}) || found[1].Verified() || found[1].Rows != 6 {
		t.Errorf("%v %v", found, err)
	}
	for _, w := range f.writes {
		if strings.Contains(w, "2026-03-02 00:00:00 UTC' AND served_at <") || !strings.Contains(w, "bool_or") {
			t.Errorf("writes over the dropped day: %s", w)
		}
	}
	if len(f.writes) != 2 {
		t.Errorf("%d writes, want 2", len(f.writes))
	}
	// Of other tables an empty day is the truth.
	if s := (difference{source: side{}, lake: side{rows: 1}}).state(); s != Differs {
		t.Errorf("orders deleted: %s", s)
	}
}

func TestBatches(t *testing.T) {
	differ := func(rows int64) difference { return difference{source: side{rows: rows, digest: "a"}} }
	same := difference{source: side{rows: 1, digest: "a"}, lake: side{rows: 1, digest: "a"}}
	for name, c := range map[string]struct {
		all       []difference
		perCommit int
		want      int
	}{
		"all":              {[]difference{differ(1), differ(1), differ(1)}, 0, 3},
		"one by one":       {[]difference{differ(1), differ(1)}, 1, 1},
		"up to a gap":      {[]difference{differ(1), differ(1), same, differ(1)}, 0, 2},
		"the same":         {[]difference{same, same}, 0, 1},
		"large ones alone": {[]difference{differ(rowsPerCommit), differ(1)}, 0, 1},
		"Trino's limit":    {slices.Repeat([]difference{differ(1)}, 200), 500, 100},
	} {
		if got := batch(c.all, c.perCommit); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestNoPersonalColumns(t *testing.T) {
	seen := 0
	for _, table := range Tables {
		for _, c := range table.Columns {
			seen++
			for _, personal := range []string{"email", "phone", "full_name", "customer_name", "external_id"} {
				if c.Name == personal {
					t.Errorf("%s exports %s", table, c.Name)
				}
			}
		}
		for _, c := range append(slices.Clone(table.Key), table.Time, table.Sum) {
			if !slices.ContainsFunc(table.Columns, func(column Column) bool { return column.Name == c }) {
				t.Errorf("%s has no column %s", table, c)
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d columns looked at", seen)
	}
}

func TestNamed(t *testing.T) {
	if all, err := Named(); err != nil || len(all) != 4 {
		t.Errorf("%v %v", all, err)
	}
	if one, err := Named("sales_api.api_logs"); err != nil || len(one) != 1 || one[0].Lake() != "lake.sales_api.api_logs" {
		t.Errorf("%v %v", one, err)
	}
	if _, err := Named("sales.customers"); err == nil || !strings.Contains(err.Error(), "sales.orders, marketing.leads") {
		t.Errorf("customers: %v", err)
	}
}
