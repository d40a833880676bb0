package demo

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/query"
)

// An Engine runs SQL and gives every value as text, like query.Client.
type Engine interface {
	Texts(ctx context.Context, sql string) ([][]string, error)
}

// A Mesh is what the demo asks: Trino, and the path that checks it.
type Mesh struct {
	Trino Engine
	// Oracle is the verify database. All that one call reads is one state of
	// each domain.
	Oracle func(ctx context.Context, statements ...string) ([][][]string, error)
	// Attempts is how often a comparison is tried while the data changes.
	Attempts int
	// Queries to ask, those of Queries unless a test plants a fault.
	Queries []Query
}

// A Domain says what mesh_meta of a domain's database says.
type Domain struct {
	Name    string `json:"name"`
	AsOf    string `json:"asOf"`
	Scale   string `json:"scale"`
	Seed    string `json:"seed"`
	State   string `json:"state"`
	Touched bool   `json:"touched"`
}

// A Timing is how long a query took from sending it to its last row.
type Timing struct {
	Query        string  `json:"query"`
	About        string  `json:"about"`
	Rows         int64   `json:"rows"`
	FirstSeconds float64 `json:"firstSeconds"`
	WarmSeconds  float64 `json:"warmSeconds"` // median of WarmRuns
	WarmRuns     int     `json:"warmRuns"`
}

// A Check is one comparison with its outcome.
type Check struct {
	Query    string `json:"query"`
	Check    string `json:"check"` // "rows as seeded", "rows by another path", "sum by another path"
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// A Report is everything that the demo found.
type Report struct {
	Domains []Domain   `json:"domains"`
	AsSeed  bool       `json:"asSeeded"`            // golden figures hold
	Why     string     `json:"whyNot,omitempty"`    // why they need not
	Timings []Timing   `json:"timings"`             // by query
	Groups  [][]string `json:"groups"`              // rows of Q3, header first
	Checks  []Check    `json:"checks"`              // all that were made
	Failed  int        `json:"failed"`              // checks that failed
	Seed    float64    `json:"seedDocumentSeconds"` // what the seed's document promises
}

// Run asks all questions, the timed ones runs times after the first, and
// checks the answers. log receives a line for each step.
func (m *Mesh) Run(ctx context.Context, runs int, log io.Writer) (*Report, error) {
	report := &Report{Seed: SeedSeconds}
	var err error
	if report.Domains, err = m.domains(ctx); err != nil {
		return nil, err
	}
	report.Why = notAsSeeded(report.Domains)
	report.AsSeed = report.Why == ""

	if report.Timings, err = m.measure(ctx, runs, log); err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "Asking PostgreSQL the same through postgres_fdw …")
	answers, checks, err := m.compare(ctx, log)
	if err != nil {
		return nil, err
	}
	report.Checks = checks
	if q3, ok := answers["Q3"]; ok {
		report.Groups = append([][]string{{"segment", "campaign", "leads", "customers", "revenue"}}, q3...)
	}
	if report.AsSeed {
		golden, err := m.golden(ctx, answers)
		if err != nil {
			return nil, err
		}
		report.Checks = append(report.Checks, golden...)
	}
	for _, c := range report.Checks {
		if !c.OK {
			report.Failed++
		}
	}
	return report, nil
}

// domains reads mesh_meta of both domains through Trino.
func (m *Mesh) domains(ctx context.Context) ([]Domain, error) {
	var all []Domain
	for _, name := range []string{"sales", "marketing"} {
		rows, err := m.Trino.Texts(ctx, "SELECT as_of, scale, seed, state, touched FROM "+name+".public.mesh_meta")
		if err != nil {
			return nil, fmt.Errorf("read mesh_meta of %s: %w", name, err)
		}
		d := Domain{Name: name, State: "never seeded"}
		if len(rows) == 1 {
			r := rows[0]
			d = Domain{name, r[0], r[1], r[2], r[3], r[4] == "true"}
		}
		all = append(all, d)
	}
	return all, nil
}

// notAsSeeded says why the golden figures need not hold; empty when they must.
func notAsSeeded(domains []Domain) string {
	for _, d := range domains {
		switch {
		case d.State != "seeded":
			return fmt.Sprintf("%s is not seeded (%s)", d.Name, d.State)
		case d.Scale != goldenScale || d.Seed != fmt.Sprint(goldenSeed):
			return fmt.Sprintf("%s was seeded with --scale %s --seed %s; the golden figures are those of --scale %s --seed %d", d.Name, d.Scale, d.Seed, goldenScale, goldenSeed)
		case d.Touched:
			return fmt.Sprintf("%s has been written to through its API since it was seeded", d.Name)
		}
	}
	return ""
}

// measure asks each query once, then runs times more.
func (m *Mesh) measure(ctx context.Context, runs int, log io.Writer) ([]Timing, error) {
	var timings []Timing
	for _, q := range m.Queries {
		fmt.Fprintf(log, "Asking Trino %s, %d times …\n", q.Name, runs+1)
		t := Timing{Query: q.Name, About: q.About, WarmRuns: runs}
		var warm []float64
		for i := range runs + 1 {
			start := time.Now()
			rows, err := m.Trino.Texts(ctx, q.SQL)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			took := time.Since(start).Seconds()
			if i == 0 {
				t.FirstSeconds = took
				t.Rows = int64(len(rows))
			} else {
				warm = append(warm, took)
			}
		}
		t.WarmSeconds = median(warm)
		timings = append(timings, t)
	}
	return timings, nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// compare asks both paths on one state of the data and compares their answers
// row by row and sum by sum. It returns Trino's rows, sorted.
func (m *Mesh) compare(ctx context.Context, log io.Writer) (map[string][][]string, []Check, error) {
	for attempt := range m.Attempts {
		if attempt > 0 {
			fmt.Fprintf(log, "The data changed meanwhile; comparing again (%d of %d) …\n", attempt+1, m.Attempts)
		}
		// The state and the oracle's answers belong together; Trino's do too
		// when the state is still the same after them.
		statements := []string{text("oracle/state.sql")}
		for _, q := range m.Queries {
			statements = append(statements, q.Oracle)
		}
		expected, err := m.Oracle(ctx, statements...)
		if err != nil {
			return nil, nil, fmt.Errorf("ask the verify database: %w", err)
		}
		answers := map[string][][]string{}
		sums := map[string][]string{}
		for _, q := range m.Queries {
			rows, err := m.Trino.Texts(ctx, q.SQL)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", q.Name, err)
			}
			sum, err := m.Trino.Texts(ctx, sumQuery(q))
			if err != nil {
				return nil, nil, fmt.Errorf("sum of %s: %w", q.Name, err)
			}
			if len(sum) != 1 || len(sum[0]) != 2 {
				return nil, nil, fmt.Errorf("sum of %s: Trino gave %v, not a count and a sum", q.Name, sum)
			}
			answers[q.Name], sums[q.Name] = sorted(rows), sum[0]
		}
		after, err := m.Oracle(ctx, text("oracle/state.sql"))
		if err != nil {
			return nil, nil, fmt.Errorf("ask the verify database: %w", err)
		}
		if !slices.EqualFunc(expected[0], after[0], slices.Equal[[]string]) {
			continue
		}
		var checks []Check
		for i, q := range m.Queries {
			c, err := compareAnswers(q, sorted(expected[i+1]), answers[q.Name], sums[q.Name])
			if err != nil {
				return nil, nil, err
			}
			checks = append(checks, c...)
		}
		return answers, checks, nil
	}
	return nil, nil, fmt.Errorf("the data changed during each of %d comparisons; stop what writes and try again", m.Attempts)
}

// sumQuery makes Trino itself count and sum the rows of a query.
func sumQuery(q Query) string {
	return fmt.Sprintf("SELECT count(*), sum(%s) FROM (\n%s\n) AS q (%s)",
		strings.TrimSpace(strings.Split(q.Columns, ",")[q.Sum]), q.SQL, q.Columns)
}

// compareAnswers compares one query's rows and sums; both lists are sorted.
func compareAnswers(q Query, expected, found [][]string, trinoSum []string) ([]Check, error) {
	rows := Check{Query: q.Name, Check: "rows by another path",
		Expected: fmt.Sprintf("%d rows", len(expected)), Found: fmt.Sprintf("%d rows", len(found))}
	e, f := firstDifference(expected, found)
	rows.OK = e == "" && f == ""
	if !rows.OK {
		rows.Expected += ", with " + e
		rows.Found += ", with " + f
	}
	// The oracle's rows are summed up here: exact, and without any database.
	total := new(big.Rat)
	for _, r := range expected {
		if r[q.Sum] == null {
			continue
		}
		n, ok := new(big.Rat).SetString(r[q.Sum])
		if !ok {
			return nil, fmt.Errorf("%s: the verify database gave %q where a number was expected", q.Name, r[q.Sum])
		}
		total.Add(total, n)
	}
	sum := Check{Query: q.Name, Check: "sum by another path",
		Expected: fmt.Sprintf("%d rows, %s", len(expected), total.FloatString(2)),
		Found:    fmt.Sprintf("%s rows, %s", trinoSum[0], trinoSum[1])}
	if trinoSum[1] == null { // no rows
		sum.Found = fmt.Sprintf("%s rows, 0.00", trinoSum[0])
	}
	sum.OK = sum.Expected == sum.Found
	return []Check{rows, sum}, nil
}

// null is how an Engine writes NULL.
const null = query.Null

// firstDifference finds the first row that only one of two sorted lists has.
// The other list's part of the answer is "no such row".
func firstDifference(expected, found [][]string) (e, f string) {
	const absent = "no such row"
	for i := range max(len(expected), len(found)) {
		switch {
		case i >= len(found):
			return show(expected[i]), absent
		case i >= len(expected):
			return absent, show(found[i])
		}
		switch slices.Compare(expected[i], found[i]) {
		case -1:
			return show(expected[i]), absent
		case 1:
			return absent, show(found[i])
		}
	}
	return "", ""
}

func show(row []string) string { return "(" + strings.Join(row, ", ") + ")" }

func sorted(rows [][]string) [][]string {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, slices.Compare[[]string])
	return rows
}

// golden compares what Trino answered with the golden figures.
func (m *Mesh) golden(ctx context.Context, answers map[string][][]string) ([]Check, error) {
	const what = "as seeded"
	var checks []Check
	for _, figure := range []struct {
		name, sql string
		golden    int64
	}{
		{"customers", "SELECT count(*) FROM sales.public.customers", goldenCustomers},
		{"segments", "SELECT count(DISTINCT segment) FROM sales.public.customers", goldenSegments},
		{"leads", "SELECT count(*) FROM marketing.public.leads", goldenLeads},
		{"campaigns", "SELECT count(*) FROM marketing.public.campaigns", goldenCampaigns},
	} {
		rows, err := m.Trino.Texts(ctx, figure.sql)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", figure.name, err)
		}
		c := Check{Query: figure.name, Check: what, Expected: fmt.Sprint(figure.golden)}
		if len(rows) == 1 && len(rows[0]) == 1 {
			c.Found = rows[0][0]
		}
		c.OK = c.Found == c.Expected
		checks = append(checks, c)
	}
	for _, q := range m.Queries {
		found := int64(len(answers[q.Name]))
		checks = append(checks, Check{Query: q.Name, Check: what, OK: found == q.Golden,
			Expected: fmt.Sprintf("%d rows", q.Golden), Found: fmt.Sprintf("%d rows", found)})
	}
	return checks, nil
}
