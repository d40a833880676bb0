package apimetrics

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func entry() Entry {
	return Entry{ServedAt: now, Service: "sales-api", Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, Bytes: 230, RequestID: "a", KeyName: "sales-reader"}
}

func TestValidBatches(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Entry){
		"plain":       func(*Entry) {},
		"oldest":      func(e *Entry) { e.ServedAt = now.Add(-MaxAge) },
		"newest":      func(e *Entry) { e.ServedAt = now.Add(MaxAhead) },
		"other zone":  func(e *Entry) { e.ServedAt = now.In(time.FixedZone("far", 14*3600)) },
		"unmatched":   func(e *Entry) { e.Route = Unmatched },
		"OTHER":       func(e *Entry) { e.Method = "OTHER" },
		"lowest":      func(e *Entry) { e.Status, e.Duration, e.Bytes = 100, 0, 0 },
		"highest":     func(e *Entry) { e.Status = 599 },
		"no key":      func(e *Entry) { e.KeyName, e.RequestID = "", "" },
		"long route":  func(e *Entry) { e.Route = strings.Repeat("é", 200) },
		"a whole day": func(e *Entry) { e.Duration = maxDuration.Microseconds() },
	} {
		e := entry()
		change(&e)
		if wrong := (Batch{[]Entry{e}}).validate(now); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

func TestInvalidEntries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Entry)
		field  string
	}{
		"too old":           {func(e *Entry) { e.ServedAt = now.Add(-MaxAge - 1) }, "served_at"},
		"too new":           {func(e *Entry) { e.ServedAt = now.Add(MaxAhead + 1) }, "served_at"},
		"no time":           {func(e *Entry) { e.ServedAt = time.Time{} }, "served_at"},
		"no service":        {func(e *Entry) { e.Service = " " }, "service"},
		"no route":          {func(e *Entry) { e.Route = "" }, "route"},
		"long route":        {func(e *Entry) { e.Route = strings.Repeat("é", 201) }, "route"},
		"zero byte":         {func(e *Entry) { e.Route = "/\x00" }, "route"},
		"unknown method":    {func(e *Entry) { e.Method = "FOO" }, "method"},
		"small letters":     {func(e *Entry) { e.Method = "get" }, "method"},
		"status 99":         {func(e *Entry) { e.Status = 99 }, "status"},
		"status 600":        {func(e *Entry) { e.Status = 600 }, "status"},
		"negative duration": {func(e *Entry) { e.Duration = -1 }, "duration_us"},
		"longest duration":  {func(e *Entry) { e.Duration = maxDuration.Microseconds() + 1 }, "duration_us"},
		"negative size":     {func(e *Entry) { e.Bytes = -1 }, "response_bytes"},
		"long request id":   {func(e *Entry) { e.RequestID = strings.Repeat("x", 101) }, "request_id"},
		"long key name":     {func(e *Entry) { e.KeyName = strings.Repeat("x", 101) }, "api_key"},
	} {
		e := entry()
		c.change(&e)
		wrong := Batch{[]Entry{entry(), e}}.validate(now)
		if len(wrong) != 1 || wrong["/entries/1/"+c.field] == "" {
			t.Errorf("%s: %v, want /entries/1/%s", name, wrong, c.field)
		}
	}
}

func TestBatchSizes(t *testing.T) {
	t.Parallel()
	for size, valid := range map[int]bool{0: false, 1: true, MaxEntries: true, MaxEntries + 1: false} {
		b := Batch{Entries: make([]Entry, size)}
		for i := range b.Entries {
			b.Entries[i] = entry()
		}
		if wrong := b.validate(now); (len(wrong) == 0) != valid {
			t.Errorf("%d entries: %v", size, wrong)
		}
	}
	if wrong := (Batch{make([]Entry, MaxEntries)}).validate(now); len(wrong) != maxWrong {
		t.Errorf("%d mistakes are named, want %d", len(wrong), maxWrong)
	}
}

func TestRollup(t *testing.T) {
	t.Parallel()
	at := func(second int, route string, status int, duration int64) Entry {
		e := entry()
		e.ServedAt, e.Route, e.Status, e.Duration = now.Add(time.Duration(second)*time.Second), route, status, duration
		return e
	}
	histogram := func(durations ...int64) (h Histogram) {
		for _, d := range durations {
			h[Bucket(d)]++
		}
		return h
	}
	got := Rollup([]Entry{
		at(60, "/b", 200, 5), at(0, "/b", 500, 1000), at(59, "/b", 404, 30_000_000), at(0, "/a", 599, 7), at(1, "/b", 399, 1001),
	})
	want := []Metric{
		{"sales-api", "/a", "GET", now, Total{1, 1, 0, 7, histogram(7)}},
		{"sales-api", "/b", "GET", now, Total{3, 1, 1, 30_002_001, histogram(1000, 1001, 30_000_000)}},
		{"sales-api", "/b", "GET", now.Add(time.Minute), Total{1, 0, 0, 5, histogram(5)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	total := RouteTotal{Total: Total{Requests: 120, Errors: 6, ClientErrors: 30}}
	total.Latency[Bucket(1000)] = 120
	s := total.Summary(time.Minute)
	if s.RatePerSecond != 2 || s.ErrorShare != 0.05 || s.ClientErrorShare != 0.25 || *s.P50 != 1.25 || *s.P95 != 1.475 || *s.P99 != 1.495 {
		t.Errorf("got %+v, %v, %v, %v", s, *s.P50, *s.P95, *s.P99)
	}
	if p := (StepTotal{}).Point(); p.P95 != nil {
		t.Errorf("a step without requests has a latency of %v", *p.P95)
	}
}
