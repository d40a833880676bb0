package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// A claim is one sentence about the services that a number can refute.
type claim struct {
	ID      string
	Title   string
	Against string
	Unit    string // "×" for a ratio
	Better  string // higher | lower
	Floor   float64
	Goal    float64
	measure func(context.Context, *rig) (samples, error)
}

// samples are the values of the rounds, by claim id, and what each side did.
type samples struct {
	values map[string][]float64
	ours   []float64
	theirs []float64
	unit   string // of ours and theirs
}

const (
	higher = "higher"
	lower  = "lower"
)

// claims are measured in this order. Claims with the same measurement follow
// each other and share it.
var claims = []claim{
	{"get-by-id", "GET a customer by id", "pgbench, the same SELECT, prepared, the same connections", "×", higher, 0.35, 0.55, getByID},
	{"list-50", "list of 50 customers", "net/http handler that scans and encodes", "×", higher, 1.3, 1.6, list50},
	{"last-page", "p95 of the last page of 300,000 customers", "the first page", "×", lower, 2.0, 1.3, lastPage},
	{"seeding", "sales-seed with generation, rows/s", `psql \copy of the same rows from files`, "×", higher, 0.60, 0.80, seeding},
	{"post-lead", "POST a lead, durable", "pgbench, one-row INSERT … ON CONFLICT, the same connections", "×", higher, 0.35, 0.55, postLead},
	{"batch-leads", "leads in batches of 1,000", "pgbench, INSERT … ON CONFLICT of 1,000 rows, the same connections", "×", higher, 0.40, 0.60, batchLeads},
	{"logging-cpu", "CPU of the Sales API per request with the request log", "without it", "×", lower, 1.15, 1.10, logging},
	{"logging-throughput", "requests/s with the request log", "without it", "×", higher, 0.90, 0.95, logging},
	{"get-by-id-flask", "GET a customer by id", "Flask, psycopg2, gunicorn -w 2, connections kept", "×", higher, 6, 8, flaskByID},
	{"p99-half-load", "p99 of GET by id at half the maximum rate, open loop", "p50 of the same run", "×", lower, 10, 5, tail},
	{"memory", "resident memory of the Sales API at full load", "", "MB", lower, 128, 64, memory},
	{"dbt-run", "dbt run --full-refresh of all models", "their compiled statements alone", "×", lower, 8, 4, dbtRuns},
	{"dbt-build", "meesh dbt build: models, tests, publishing", "", "s", lower, 60, 45, dbtRuns},
	{"runaway", "p95 of the Sales API while three endless queries of alex's run", "p95 of the same requests without them", "×", lower, 1.5, 1.2, runaway},
	{"page-queries", "all queries of the slowest dashboard together, 1,000,000 orders", "", "s", lower, 1, 0.5, pageQueries},
}

// A result is a claim with what was measured.
type result struct {
	ID      string  `json:"id"`
	Value   float64 `json:"value"` // the median of the rounds
	Floor   float64 `json:"floor"`
	Goal    float64 `json:"goal"`
	Better  string  `json:"better"`
	Unit    string  `json:"unit"`
	Q25     float64 `json:"q25"`
	Q75     float64 `json:"q75"`
	Rounds  int     `json:"rounds"`
	Title   string  `json:"title"`
	Against string  `json:"against,omitempty"`
	// What the sides did on this machine, at this time: the medians.
	Ours      float64 `json:"ours,omitempty"`
	Theirs    float64 `json:"theirs,omitempty"`
	OwnUnit   string  `json:"own_unit,omitempty"`
	FloorHeld bool    `json:"floor_held"`
	GoalHeld  bool    `json:"goal_held"`
}

func (c claim) result(s samples) result {
	values := s.values[c.ID]
	r := result{
		ID: c.ID, Value: round(quantile(values, 0.5)), Floor: c.Floor, Goal: c.Goal, Better: c.Better, Unit: c.Unit,
		Q25: round(quantile(values, 0.25)), Q75: round(quantile(values, 0.75)), Rounds: len(values), Title: c.Title, Against: c.Against,
		Ours: round(quantile(s.ours, 0.5)), Theirs: round(quantile(s.theirs, 0.5)), OwnUnit: s.unit,
	}
	holds := func(bar float64) bool {
		if c.Better == lower {
			return r.Value <= bar
		}
		return r.Value >= bar
	}
	r.FloorHeld, r.GoalHeld = holds(c.Floor), holds(c.Goal)
	return r
}

// measureAll measures the claims that were asked for.
func (r *rig) measureAll(ctx context.Context) ([]result, error) {
	var results []result
	var last samples
	for _, c := range claims {
		if r.only != nil && !slices.Contains(r.only, c.ID) {
			continue
		}
		if last.values[c.ID] == nil {
			say("%s: %s", c.ID, c.Title)
			var err error
			if last, err = c.measure(ctx, r); err != nil {
				return nil, fmt.Errorf("%s: %w", c.ID, err)
			}
		}
		result := c.result(last)
		say("  %s", result)
		results = append(results, result)
	}
	return results, nil
}

func (r result) String() string {
	return fmt.Sprintf("%.3g %s (q25 %.3g, q75 %.3g, %d rounds; floor %g, goal %g): %.4g against %.4g %s", r.Value, r.Unit, r.Q25, r.Q75, r.Rounds, r.Floor, r.Goal, r.Ours, r.Theirs, r.OwnUnit)
}

// quantile gives the q-quantile, between two values the one in between; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// round keeps four digits.
func round(x float64) float64 {
	if x == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*scale) / scale
}
