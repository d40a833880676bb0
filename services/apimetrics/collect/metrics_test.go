package collect

import (
	"testing"
	"time"
)

// day is a day whose requests are all stored before midnight tonight and not
// more than 30 days ago.
func day() time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3) }

// storeADay stores requests of one day: ten at 08:00:30, two of them refused and
// one failed, and one slow one of another route at 20:59.
func storeADay(c caller) {
	c.t.Helper()
	morning := entryAt(day().Add(8*time.Hour + 30*time.Second))
	refused, failed, slow := morning, morning, morning
	refused.Status, failed.Status = 404, 503
	slow.ServedAt, slow.Route, slow.Duration = day().Add(20*time.Hour+59*time.Minute), "/v1/revenue", 2_400_000
	c.store(morning, morning, morning, morning, morning, morning, morning, refused, refused, failed, slow)
}

func TestMetrics(t *testing.T) {
	c := newCaller(t)
	if got := items(c.want(200, "GET", "/v1/metrics", "")); len(got) != 0 {
		t.Errorf("an empty logger has metrics %v", got)
	}
	storeADay(c)
	from, to := day().Format(time.RFC3339), day().Add(24*time.Hour).Format(time.RFC3339)
	window := "?from=" + from + "&to=" + to
	a := c.want(200, "GET", "/v1/metrics"+window, "")
	if a.Body["from"] != from || a.Body["to"] != to || len(items(a)) != 2 {
		t.Fatalf("got %s", a.Text)
	}
	orders, revenue := items(a)[0].(map[string]any), items(a)[1].(map[string]any)
	for name, want := range map[string]any{
		"service": "sales-api", "route": "/v1/orders/:id", "method": "GET", "requests": 10.0,
		"rate_per_second": 10.0 / 86400, "error_share": 0.1, "client_error_share": 0.2,
		"p50_ms": 1.75, "p95_ms": 1.975, "p99_ms": 1.995, // all in the bucket from 1.5 to 2 ms
	} {
		if orders[name] != want {
			t.Errorf("%s is %v, want %v", name, orders[name], want)
		}
	}
	if p := revenue["p50_ms"].(float64); revenue["requests"] != 1.0 || p < 2000 || p > 3000 {
		t.Errorf("got %v", revenue)
	}
	for query, want := range map[string]int{
		"&route=/v1/revenue": 1, "&route=/v1/orders/1": 0, "&method=GET": 2, "&method=POST": 0, "&service=sales-api": 2, "&service=other": 0,
	} {
		if got := len(items(c.want(200, "GET", "/v1/metrics"+window+query, ""))); got != want {
			t.Errorf("%s: %d items, want %d", query, got, want)
		}
	}
}

// Without from and to the window is the last hour, the current minute included.
func TestDefaultWindow(t *testing.T) {
	c := newCaller(t)
	now := time.Now().UTC()
	c.store(entryAt(now), entryAt(now.Add(-59*time.Minute)), entryAt(now.Add(-62*time.Minute)))
	if got := items(c.want(200, "GET", "/v1/metrics", ""))[0].(map[string]any); got["requests"] != 2.0 {
		t.Errorf("the last hour had %v requests, want 2", got["requests"])
	}
}

func TestTimeline(t *testing.T) {
	c := newCaller(t)
	storeADay(c)
	at := func(d time.Duration) string { return day().Add(d).Format(time.RFC3339) }
	for _, x := range []struct {
		step, from, to string
		points, busy   int // number of points, place of the busy one
	}{
		{"minute", at(7*time.Hour + 50*time.Minute), at(8*time.Hour + 10*time.Minute), 20, 10},
		{"hour", at(0), at(24 * time.Hour), 24, 8},
		{"hour", at(7*time.Hour + 59*time.Minute), at(8*time.Hour + 1*time.Minute), 2, 1},
		{"day", at(-48 * time.Hour), at(time.Hour), 3, 2},
	} {
		a := c.want(200, "GET", "/v1/metrics/timeline?route=/v1/orders/:id&step="+x.step+"&from="+x.from+"&to="+x.to, "")
		if len(items(a)) != x.points {
			t.Fatalf("%s: %d points, want %d", x.step, len(items(a)), x.points)
		}
		for i, item := range items(a) {
			p := item.(map[string]any)
			if i == x.busy {
				if p["requests"] != 10.0 || p["errors"] != 1.0 || p["client_errors"] != 2.0 || p["p95_ms"] != 1.975 {
					t.Errorf("%s: busy point %v", x.step, p)
				}
			} else if p["requests"] != 0.0 || p["p95_ms"] != nil {
				t.Errorf("%s: idle point %v", x.step, p)
			}
		}
	}
	if got := len(items(c.want(200, "GET", "/v1/metrics/timeline", ""))); got != 60 && got != 61 {
		t.Errorf("the last hour has %d minutes", got)
	}
}

func TestWindowsHaveLimits(t *testing.T) {
	c := newCaller(t)
	for query, status := range map[string]int{
		"/v1/metrics?from=2026-01-01&to=2026-02-01":                                   200,
		"/v1/metrics?from=2026-01-01&to=2026-02-02":                                   400,
		"/v1/metrics?from=2026-01-02&to=2026-01-01":                                   400,
		"/v1/metrics?from=2026-01-01&to=2026-01-01":                                   400,
		"/v1/metrics?from=2026-01-01":                                                 200,
		"/v1/metrics?to=2026-01-01":                                                   200,
		"/v1/metrics?to=soon":                                                         400,
		"/v1/metrics?step=hour":                                                       400,
		"/v1/metrics/timeline?step=week":                                              400,
		"/v1/metrics/timeline?step=hour&from=2026-01-01&to=2026-02-01":                200,
		"/v1/metrics/timeline?step=minute&from=2026-01-01&to=2026-01-02":              200,
		"/v1/metrics/timeline?step=minute&from=2026-01-01&to=2026-01-02T01:01:00Z":    400,
		"/v1/metrics/timeline?step=day&from=2026-01-01T00:00:00Z&to=2026-02-01":       200,
		"/v1/metrics/timeline?step=day&from=0002-01-01&to=9999-12-31":                 400,
		"/v1/metrics?from=2026-01-01T00:00:30.5Z&to=2026-01-01T00:00:30.500000001Z":   200,
		"/v1/metrics/timeline?from=2026-01-01T00:00:59Z&to=2026-01-01T00:01:01Z":      200,
		"/v1/metrics/timeline?from=2026-01-01&from=2026-01-02&to=2026-01-03&step=day": 400,
	} {
		c.want(status, "GET", query, "")
	}
}
