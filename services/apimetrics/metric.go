package apimetrics

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// A Total is what a number of requests add up to.
type Total struct {
	Requests     int64
	Errors       int64 // status 500 and above: the API's fault
	ClientErrors int64 // status 400 to 499: the caller's
	Duration     int64 // sum in microseconds
	Latency      Histogram
}

func (t *Total) add(e Entry) {
	t.Requests++
	switch {
	case e.Status >= 500:
		t.Errors++
	case e.Status >= 400:
		t.ClientErrors++
	}
	t.Duration += e.Duration
	t.Latency[Bucket(e.Duration)]++
}

// milliseconds gives a quantile of the latency, or nil when there is none.
func (t Total) milliseconds(q float64) *float64 {
	us, ok := t.Latency.Quantile(q)
	if !ok {
		return nil
	}
	ms := math.Round(us) / 1000
	return &ms
}

func (t Total) share(part int64) float64 {
	if t.Requests == 0 {
		return 0
	}
	return float64(part) / float64(t.Requests)
}

// A Metric is what one service, route and method served in one minute.
type Metric struct {
	Service, Route, Method string
	Minute                 time.Time
	Total
}

// Rollup adds entries up by service, route, method and minute (UTC), in that
// order: two writers that store metrics in it never wait for each other in a circle.
func Rollup(entries []Entry) []Metric {
	type key struct {
		service, route, method string
		minute                 int64
	}
	groups := map[key]*Metric{}
	for _, e := range entries {
		minute := e.ServedAt.UTC().Truncate(time.Minute)
		k := key{e.Service, e.Route, e.Method, minute.Unix()}
		if groups[k] == nil {
			groups[k] = &Metric{Service: e.Service, Route: e.Route, Method: e.Method, Minute: minute}
		}
		groups[k].add(e)
	}
	list := make([]Metric, 0, len(groups))
	for _, m := range groups {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Method, b.Method), a.Minute.Compare(b.Minute))
	})
	return list
}

// A RouteTotal is what one service, route and method served in a window.
type RouteTotal struct {
	Service, Route, Method string
	Total
}

// A Summary is a RouteTotal as people read it.
type Summary struct {
	Service          string   `json:"service"`
	Route            string   `json:"route"`
	Method           string   `json:"method"`
	Requests         int64    `json:"requests"`
	RatePerSecond    float64  `json:"rate_per_second"`
	ErrorShare       float64  `json:"error_share"`        // of all requests, 0 to 1
	ClientErrorShare float64  `json:"client_error_share"` // of all requests, 0 to 1
	P50              *float64 `json:"p50_ms"`
	P95              *float64 `json:"p95_ms"`
	P99              *float64 `json:"p99_ms"`
}

// Summary gives rates, shares and latencies over a window of this length.
func (t RouteTotal) Summary(window time.Duration) Summary {
	return Summary{
		Service: t.Service, Route: t.Route, Method: t.Method,
		Requests:         t.Requests,
		RatePerSecond:    float64(t.Requests) / window.Seconds(),
		ErrorShare:       t.share(t.Errors),
		ClientErrorShare: t.share(t.ClientErrors),
		P50:              t.milliseconds(0.50),
		P95:              t.milliseconds(0.95),
		P99:              t.milliseconds(0.99),
	}
}

// A Step is the distance of the points of a timeline.
type Step string

// The steps of a timeline; hours and days are those of UTC.
const (
	Minute Step = "minute"
	Hour   Step = "hour"
	Day    Step = "day"
)

// StepNames are all steps as text.
var StepNames = []string{string(Minute), string(Hour), string(Day)}

// Duration gives the length of the step.
func (s Step) Duration() time.Duration {
	switch s {
	case Hour:
		return time.Hour
	case Day:
		return 24 * time.Hour
	}
	return time.Minute
}

// A StepTotal is what was served in one step of a timeline.
type StepTotal struct {
	At time.Time // where the step begins
	Total
}

// A Point is a StepTotal as people read it.
type Point struct {
	At           time.Time `json:"at"`
	Requests     int64     `json:"requests"`
	Errors       int64     `json:"errors"`
	ClientErrors int64     `json:"client_errors"`
	P95          *float64  `json:"p95_ms"` // null when nothing was served
}

// Point gives the step as a point of the timeline.
func (t StepTotal) Point() Point {
	return Point{At: t.At, Requests: t.Requests, Errors: t.Errors, ClientErrors: t.ClientErrors, P95: t.milliseconds(0.95)}
}

// A MetricFilter picks minutes From to To (excluded) and, unless empty, a
// service, a route and a method.
type MetricFilter struct {
	Service, Route, Method string
	From, To               time.Time
}
