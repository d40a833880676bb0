// Package seed makes the fake request logs of an API.
package seed

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/population"
	"github.com/datameesh/datameesh/services/internal/rowrand"
	"github.com/datameesh/datameesh/services/internal/seeding"
)

// days is how many days before as_of the first request was served.
const days = 14

// Domain is what apimetrics-seed seeds: the requests of the service; "" is
// sales-api. Each API has a logger, and a database, of its own.
func Domain(service string) (seeding.Domain, error) {
	if service == "" {
		service = "sales-api"
	}
	api, ok := apis[service]
	if !ok {
		return seeding.Domain{}, fmt.Errorf("SERVICE_NAME %q is no API whose requests can be made up; set it to one of %s",
			service, strings.Join(slices.Sorted(maps.Keys(apis)), ", "))
	}
	return seeding.Domain{
		Program: "apimetrics-seed",
		Tables: map[string]func(*population.Rows) *int64{
			"api_logs": func(r *population.Rows) *int64 { return &r.APILogs },
		},
		Plan: func(p seeding.Params) seeding.Plan { return plan(newMaker(p, service, api)) },
	}, nil
}

func plan(m maker) seeding.Plan {
	return seeding.Plan{
		Tables:       []string{"api_logs", "metrics"},
		Transactions: days,
		// A day comes with its metrics in one transaction, so metrics equals
		// api_logs at every commit.
		Transaction: func(i int) []seeding.Copy {
			from, to := m.firstOf(i), m.firstOf(i+1)
			entries := make([]apimetrics.Entry, 0, to-from)
			for n := from; n < to; n++ {
				entries = append(entries, m.entry(n))
			}
			metrics := apimetrics.Rollup(entries)
			return []seeding.Copy{
				{Table: "api_logs", Columns: logColumns, From: from, To: to, Row: m.logRow},
				{Table: "metrics", Columns: metricColumns, From: 0, To: int64(len(metrics)), Row: func(n int64) []any { return metricRow(metrics[n]) }},
			}
		},
		Before: []string{
			fmt.Sprintf(`SELECT make_api_logs_partition(date '%s' - n) FROM generate_series(1, %d) AS n`, m.AsOf.Format(time.DateOnly), days),
		},
		// The service is one of apis.
		Others: `SELECT service FROM api_logs WHERE service <> '` + m.service + `' LIMIT 1`,
		Last: []string{
			`SELECT setval(pg_get_serial_sequence('api_logs', 'log_id'), max(log_id)) FROM api_logs`,
			`ANALYZE api_logs, metrics`,
		},
	}
}

var (
	logColumns    = []string{"log_id", "served_at", "service", "route", "method", "status", "duration_us", "response_bytes", "request_id", "api_key"}
	metricColumns = []string{"service", "route", "method", "minute", "count", "errors", "client_errors", "duration_us_sum", "latency_histogram"}
)

func metricRow(m apimetrics.Metric) []any {
	return []any{m.Service, m.Route, m.Method, m.Minute, m.Requests, m.Errors, m.ClientErrors, m.Duration, m.Latency[:]}
}

// A maker makes rows; each is a pure function of the params and its number.
type maker struct {
	seeding.Params
	service string
	api     api
	first   time.Time // of the days
	// until is the share of all requests served until the end of each hour.
	until [days * 24]float64
	// badHour begins the hour in which the database of the API was overloaded.
	badHour time.Time
	weights []float64 // of the routes
}

func newMaker(p seeding.Params, service string, a api) maker {
	m := maker{Params: p, service: service, api: a, first: p.AsOf.AddDate(0, 0, -days)}
	total := 0.0
	for hour := range m.until {
		growth := 1 + 0.25*float64(hour)/float64(len(m.until))
		total += growth * a.busy(m.first.Add(time.Duration(hour)*time.Hour))
		m.until[hour] = total
	}
	for hour := range m.until {
		m.until[hour] /= total
	}
	day := p.AsOf.AddDate(0, 0, -4)
	for weekend(day) {
		day = day.AddDate(0, 0, -1)
	}
	m.badHour = day.Add(time.Duration(a.peak) * time.Hour)
	for _, r := range a.routes {
		m.weights = append(m.weights, r.weight)
	}
	return m
}

func weekend(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
}

// busy gives how many requests come in the hour, relative to others: a wave over
// the day with its top at the API's peak, and less on weekends.
func (a api) busy(hour time.Time) float64 {
	wave := math.Cos(2 * math.Pi * float64(hour.Hour()-a.peak) / 24)
	busy := 0.08 + math.Pow((1+wave)/2, 1.5)
	if weekend(hour) {
		busy *= a.weekend
	}
	return busy
}

// at gives when request n was served. Requests are numbered in the order of time.
func (m maker) at(n int64, random *rowrand.Stream) time.Time {
	place := (float64(n-1) + random.Float()) / float64(m.Rows.APILogs)
	hour := min(sort.SearchFloat64s(m.until[:], place), len(m.until)-1)
	from := 0.0
	if hour > 0 {
		from = m.until[hour-1]
	}
	part := min((place-from)/(m.until[hour]-from), 1-1e-9) // a rounded-up end would be another hour's
	return m.first.Add(time.Duration((float64(hour) + part) * float64(time.Hour))).Truncate(time.Microsecond)
}

// firstOf gives the number of the first request of day i, from 0; the requests
// up to the first of the next day are the day's.
func (m maker) firstOf(i int) int64 {
	begin := m.first.AddDate(0, 0, i)
	return 1 + int64(sort.Search(int(m.Rows.APILogs), func(k int) bool {
		n := int64(k) + 1
		return !m.at(n, m.random(n)).Before(begin)
	}))
}

func (m maker) random(n int64) *rowrand.Stream {
	return rowrand.Of(m.Seed, m.service+" api_logs", n)
}

// entry gives request n.
func (m maker) entry(n int64) apimetrics.Entry {
	random := m.random(n)
	at := m.at(n, random)
	r := m.api.routes[random.Weighted(m.weights...)]
	e := apimetrics.Entry{
		ServedAt: at, Service: m.service, Route: r.route, Method: r.method, Status: r.status,
		RequestID: fmt.Sprintf("%016x", random.Uint64()),
		KeyName:   r.keys[random.Weighted(r.keyWeights...)],
	}
	milliseconds := r.median * math.Exp(r.spread*random.Normal())
	bytes := float64(r.bytes) * random.Between(0.7, 1.3)
	bad := !at.Before(m.badHour) && at.Before(m.badHour.Add(time.Hour))
	switch luck := random.Float(); {
	case r.status == 404: // no route, no luck
	case luck < 0.012:
		e.Status, e.KeyName, milliseconds, bytes = 401, "", milliseconds*0.05, 210
	case luck < 0.012+r.refused:
		e.Status, milliseconds, bytes = r.refusal, milliseconds*0.6, 260
	case luck < 0.012+r.refused+0.0015:
		e.Status, bytes = 500, 230
	case bad && luck < 0.30:
		e.Status, milliseconds, bytes = 503, 2000+40*milliseconds, 240
	}
	if bad && e.Status < 400 {
		milliseconds *= 9
	}
	e.Duration = max(20, int64(milliseconds*1000))
	e.Bytes = int64(bytes)
	return e
}

func (m maker) logRow(n int64) []any {
	e := m.entry(n)
	return []any{n, e.ServedAt, e.Service, e.Route, e.Method, e.Status, e.Duration, e.Bytes, e.RequestID, e.KeyName}
}
