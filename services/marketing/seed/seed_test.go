package seed

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/brianvoe/gofakeit/v6"
	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/marketing/migrations"
)

var schema = pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: migrations.Files}

var demo = seeding.Params{Scale: "demo", Seed: 42, AsOf: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Rows: population.Scales["demo"]}

// A row made alone equals the row made among all others.
func TestRowsArePure(t *testing.T) {
	t.Parallel()
	plan, again := Domain.Plan(demo), Domain.Plan(demo)
	var before []any
	for _, c := range plan.Transaction(0) {
		for n := c.From; n < c.To; n++ {
			before = append(before, c.Row(n))
		}
	}
	var after []any
	for _, c := range again.Transaction(0) {
		rows := make([]any, c.To-c.From)
		for n := c.To - 1; n >= c.From; n-- {
			rows[n-c.From] = c.Row(n)
		}
		after = append(after, rows...)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

// The transactions of a plan make each lead once, whatever the number of leads.
func TestTransactionsCoverTheLeads(t *testing.T) {
	t.Parallel()
	for _, leads := range []int64{0, 1, 9_999, 10_000, 10_001, 35_000} {
		plan := Domain.Plan(seeding.Params{Rows: population.Rows{Customers: 10, Leads: leads}})
		next, others := int64(1), int64(0)
		for i := range plan.Transactions {
			for _, c := range plan.Transaction(i) {
				if c.Table != "leads" {
					others += c.To - c.From
					continue
				}
				if c.From != next {
					t.Errorf("%d leads: transaction %d begins at %d, want %d", leads, i, c.From, next)
				}
				next = c.To
			}
		}
		if next != leads+1 || others != 9 {
			t.Errorf("%d leads: the transactions end at %d, with %d campaigns", leads, next-1, others)
		}
	}
}

// On another day the same leads come of the same campaigns to the same end;
// only the times differ. Leap years and weekdays change nothing that is counted.
func TestOnlyTimesDependOnAsOf(t *testing.T) {
	t.Parallel()
	on := func(day string) maker {
		p := demo
		var err error
		if p.AsOf, err = time.Parse(time.DateOnly, day); err != nil {
			t.Fatal(err)
		}
		return maker{Params: p, people: p.Population()}
	}
	ages := func(m maker, row []any) (created float64, period int) {
		created = m.AsOf.Sub(row[8].(time.Time)).Hours() / 24
		for _, edge := range []float64{30, 60, 365} {
			if created > edge {
				period++
			}
		}
		return created, period
	}
	first := on("2026-11-23")
	for _, day := range []string{"2026-03-01", "2027-08-15", "2028-03-01"} {
		other := on(day)
		for k := int64(1); k <= demo.Rows.Leads; k++ {
			a, b := first.leadRow(k), other.leadRow(k)
			if diff := cmp.Diff(a[:8], b[:8]); diff != "" {
				t.Fatalf("lead %d as of %s: %s", k, day, diff)
			}
			ageA, periodA := ages(first, a)
			ageB, periodB := ages(other, b)
			if periodA != periodB || ageA-ageB > 6 || ageB-ageA > 6 {
				t.Fatalf("lead %d is %v days old, as of %s %v days", k, ageA, day, ageB)
			}
		}
	}
}

// Of the 2,500 leads 850 have exactly the e-mail of a customer and 75 another
// spelling of one; nobody else has any spelling of one. Fixed for ever.
func TestGoldenMatches(t *testing.T) {
	t.Parallel()
	m := maker{Params: demo, people: demo.Population()}
	exactly, anySpelling := map[string]string{}, map[string]string{}
	for n := int64(1); n <= demo.Rows.Customers; n++ {
		person := m.people.Person(n, gofakeit.NewCustom(m.people.Source(n)))
		exactly[person.Email] = person.Name
		anySpelling[strings.ToLower(person.Email)] = person.Name
	}
	exact, messy, strangers := 0, 0, 0
	campaigns := map[any]int{}
	for k := int64(1); k <= demo.Rows.Leads; k++ {
		row := m.leadRow(k)
		email, name := row[1].(string), row[2].(string)
		switch {
		case exactly[email] != "":
			exact++
			campaigns[row[5]]++
		case anySpelling[strings.ToLower(strings.Trim(email, " "))] != "":
			messy++
		default:
			strangers++
			continue
		}
		if customer := anySpelling[strings.ToLower(strings.Trim(email, " "))]; customer != name {
			t.Errorf("lead %d is called %s, the customer %s", k, name, customer)
		}
	}
	if exact != 850 || messy != 75 || strangers != 1575 {
		t.Errorf("%d exact, %d messy, %d strangers; want 850, 75, 1575", exact, messy, strangers)
	}
	for name, n := range campaigns {
		if n < 40 { // so that each of the five segments is among them
			t.Errorf("only %d customers by %v", n, name)
		}
	}
	if len(campaigns) != 9 {
		t.Errorf("%d campaigns: %v", len(campaigns), campaigns)
	}
}

func run(ctx context.Context, t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	return runDomain(ctx, t, Domain, args...)
}

func runDomain(ctx context.Context, t *testing.T, domain seeding.Domain, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = seeding.Main(ctx, domain, append([]string{"--scale", "small", "--as-of", "2026-11-23"}, args...), &out, &out)
	return code, out.String()
}

// atLead is Domain with f called before lead k is made.
func atLead(k int64, f func()) seeding.Domain {
	domain := Domain
	domain.Plan = func(p seeding.Params) seeding.Plan {
		plan := Domain.Plan(p)
		transaction := plan.Transaction
		plan.Transaction = func(i int) []seeding.Copy {
			copies := transaction(i)
			leads := &copies[len(copies)-1]
			row := leads.Row
			leads.Row = func(n int64) []any {
				if n == k {
					f()
				}
				return row(n)
			}
			return copies
		}
		return plan
	}
	return domain
}

func fingerprint(t *testing.T, db pgtest.Database) (sum string) {
	t.Helper()
	err := db.Connect(t, "marketing_owner").QueryRow(t.Context(), `
		SELECT md5((SELECT string_agg(c::text, '|' ORDER BY campaign_id) FROM campaigns AS c)
		        || (SELECT string_agg(l::text, '|' ORDER BY lead_id) FROM leads AS l))`).Scan(&sum)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestSeeding(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	conn := db.Connect(t, "marketing_owner")

	if code, out := run(t.Context(), t, "--scale", "demo"); code != 0 || !strings.Contains(out, "campaigns 9\nleads 2500\n") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	first := fingerprint(t, db)
	var edge, impossible, idle, touched int
	err := conn.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM (SELECT created_at FROM leads UNION ALL SELECT converted_at FROM leads) AS t (at)
		         WHERE at BETWEEN timestamptz '2026-11-23 00:00Z' - interval '367 days' AND timestamptz '2026-11-23 00:00Z' - interval '364 days'),
		       (SELECT count(*) FROM leads WHERE created_at >= '2026-11-23 00:00Z' OR converted_at >= '2026-11-23 00:00Z' OR converted_at <= created_at),
		       (SELECT count(*) FROM leads JOIN campaigns USING (campaign_id)
		         WHERE (created_at AT TIME ZONE 'UTC')::date NOT BETWEEN starts_on AND coalesce(ends_on, '2026-11-22')),
		       (SELECT count(*) FROM mesh_meta WHERE touched OR state <> 'seeded')`).Scan(&edge, &impossible, &idle, &touched)
	if err != nil || edge+impossible+idle+touched != 0 {
		t.Errorf("%d times at the year's edge, %d impossible ones, %d leads of a campaign that did not run, %d unfinished or touched; error %v", edge, impossible, idle, touched, err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO leads (email, full_name, source, campaign_id, campaign_name) VALUES ('a@b', 'A', 'Event', 1, 'Newsletter')`); err != nil {
		t.Errorf("the identity does not go on behind the seeded rows: %v", err)
	}

	if code, out := run(t.Context(), t, "--scale", "demo"); code != 1 || !strings.Contains(out, "--force") {
		t.Errorf("a filled database: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--scale", "demo", "--if-empty"); code != 0 || !strings.Contains(out, "already seeded") {
		t.Errorf("--if-empty: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--scale", "demo", "--force"); code != 0 || fingerprint(t, db) != first {
		t.Errorf("--force: exit code %d, other rows: %s", code, out)
	}
}

// The demo is worth reading: conversion stands near the alert's 0.20, converted
// leads had the best scores, the trade show flops, each year is busier.
func TestDemoLooksAlive(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	if code, out := run(t.Context(), t, "--scale", "demo"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var cohort, converted, young int
	var scores, flops, grows, weekends bool
	err := db.Connect(t, "marketing_owner").QueryRow(t.Context(), `
		WITH aged AS (SELECT *, timestamptz '2026-11-23 00:00Z' - created_at AS age FROM leads),
		     campaign AS (SELECT campaign_name, spend, count(*) AS leads, avg((status = 'converted')::int) AS rate
		                    FROM campaigns JOIN leads USING (campaign_id, campaign_name) GROUP BY 1, 2)
		SELECT count(*) FILTER (WHERE age > interval '30 days' AND age <= interval '60 days'),
		       count(*) FILTER (WHERE age > interval '30 days' AND age <= interval '60 days' AND status = 'converted'),
		       count(*) FILTER (WHERE age < interval '12 days' AND status NOT IN ('new', 'contacted')),
		       avg(score) FILTER (WHERE status = 'converted') > avg(score) FILTER (WHERE status = 'lost') + 30,
		       (SELECT bool_and(rate < 0.1 AND spend = (SELECT max(spend) FROM campaign) AND leads = (SELECT min(leads) FROM campaign)) FROM campaign WHERE campaign_name = 'Trade Show Tour'),
		       count(*) FILTER (WHERE age < interval '300 days') > 1.3 * count(*) FILTER (WHERE age BETWEEN interval '300 days' AND interval '600 days'),
		       count(*) FILTER (WHERE extract(isodow FROM created_at AT TIME ZONE 'UTC') > 5) BETWEEN 200 AND 400
		  FROM aged`).Scan(&cohort, &converted, &young, &scores, &flops, &grows, &weekends)
	if err != nil {
		t.Fatal(err)
	}
	if cohort != 145 || converted != 32 {
		t.Errorf("of %d leads created 60 to 30 days before as_of %d converted, want 32 of 145", cohort, converted)
	}
	if young != 0 || !scores || !flops || !grows || !weekends {
		t.Errorf("%d young leads are far; scores tell %v, trade show flops %v, grows %v, quiet weekends %v", young, scores, flops, grows, weekends)
	}
}

func TestInterruptedSeedingGoesOn(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	rows := []string{"--rows", "leads=25000", "--rows", "customers=2000"}
	if code, out := run(t.Context(), t, rows...); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	whole := fingerprint(t, db)

	// Rows are made ahead of the database, some 9,000 at most: it is in the second of
	// the transactions of 10,000 then, and cannot end that.
	ctx, cancel := context.WithCancel(t.Context())
	if code, out := runDomain(ctx, t, atLead(19_500, cancel), append(rows, "--force")...); code != 130 || !strings.Contains(out, "goes on") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--rows", "leads=77"); code != 1 || !strings.Contains(out, "other settings") {
		t.Errorf("other settings: exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, append(rows, "--if-empty")...); code != 0 || !strings.Contains(out, "1 of 3 transactions are done") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if fingerprint(t, db) != whole {
		t.Error("the rows differ from those of an uninterrupted seeding")
	}
}

func TestTwoAtOnce(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	first := atLead(100, func() {
		if code, out := run(t.Context(), t, "--force"); code != 1 || !strings.Contains(out, "another seeder") {
			t.Errorf("the second: exit code %d: %s", code, out)
		}
	})
	if code, out := runDomain(t.Context(), t, first); code != 0 || !strings.Contains(out, "leads 250\n") {
		t.Errorf("the first: exit code %d: %s", code, out)
	}
}

func TestWithoutLeads(t *testing.T) {
	db := pgtest.New(t, schema)
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	if code, out := run(t.Context(), t, "--rows", "leads=0"); code != 0 || !strings.Contains(out, "campaigns 9\nleads 0\n") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := run(t.Context(), t, "--rows", "customers=0", "--force"); code != 0 || !strings.Contains(out, "leads 250\n") {
		t.Errorf("without customers: exit code %d: %s", code, out)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
	for _, args := range [][]string{
		{"--scale", "huge"}, {"--as-of", "today"}, {"--rows", "leads=-1"}, {"--rows", "orders=5"}, {"--rows", "leads"}, {"--unknown"}, {"extra"},
	} {
		if code, out := run(t.Context(), t, args...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
	if code, out := run(t.Context(), t); code != 3 {
		t.Errorf("no database: exit code %d: %s", code, out)
	}
}
