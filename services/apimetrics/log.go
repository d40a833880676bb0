package apimetrics

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Methods are the values an entry's method may have: those of HTTP (RFC 9110,
// RFC 5789) and OTHER for everything else that callers may invent.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "OTHER"}

// Unmatched is the route of requests whose path no route matched: raw paths may
// hold personal data and are not stored.
const Unmatched = "(unmatched)"

// Limits of what a batch may hold.
const (
	MaxEntries  = 1000
	MaxAge      = 30 * 24 * time.Hour // how long ago a request may have been served
	MaxAhead    = 5 * time.Minute     // how far the sender's clock may be ahead
	maxDuration = 24 * time.Hour
	maxWrong    = 20 // mistakes named of one batch; a sender that makes more makes them in every entry
)

// An Entry is one request that an API served.
type Entry struct {
	ServedAt  time.Time `json:"served_at"`
	Service   string    `json:"service"`
	Route     string    `json:"route"` // template ("/v1/customers/:id") or Unmatched
	Method    string    `json:"method"`
	Status    int       `json:"status"`
	Duration  int64     `json:"duration_us"` // microseconds
	Bytes     int64     `json:"response_bytes"`
	RequestID string    `json:"request_id"`
	KeyName   string    `json:"api_key,omitempty"` // name of the API key, never the key
}

// A Batch is what an API sends at once.
type Batch struct {
	Entries []Entry `json:"entries"`
}

// Validate gives what is wrong, by JSON pointer; nothing when all is right.
func (b Batch) Validate() map[string]string { return b.validate(time.Now()) }

func (b Batch) validate(now time.Time) map[string]string {
	if len(b.Entries) < 1 || len(b.Entries) > MaxEntries {
		return map[string]string{"/entries": fmt.Sprintf("must hold 1 to %d entries", MaxEntries)}
	}
	wrong := map[string]string{}
	for i, e := range b.Entries {
		check := func(field, detail string) {
			if detail != "" && len(wrong) < maxWrong {
				wrong[fmt.Sprintf("/entries/%d/%s", i, field)] = detail
			}
		}
		check("served_at", servedAt(e.ServedAt, now))
		check("service", text(e.Service, 100))
		check("route", text(e.Route, 200))
		check("method", oneOf(Methods)(e.Method))
		check("status", between(int64(e.Status), 100, 599))
		check("duration_us", between(e.Duration, 0, maxDuration.Microseconds()))
		check("response_bytes", between(e.Bytes, 0, 1<<53)) // what every JSON reader can tell apart
		check("request_id", optionalText(e.RequestID, 100))
		check("api_key", optionalText(e.KeyName, 100))
	}
	return wrong
}

func servedAt(at, now time.Time) string {
	switch {
	case at.Before(now.Add(-MaxAge)):
		return "must lie at most 30 days back"
	case at.After(now.Add(MaxAhead)):
		return "must lie at most 5 minutes ahead"
	}
	return ""
}

func oneOf(allowed []string) func(string) string {
	return func(s string) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "must be one of " + strings.Join(allowed, ", ")
	}
}

func between(n, low, high int64) string {
	if n < low || n > high {
		return fmt.Sprintf("must be a whole number from %d to %d", low, high)
	}
	return ""
}

// A Log is a stored entry.
type Log struct {
	ID        int64     `json:"log_id"`
	ServedAt  time.Time `json:"served_at"`
	Service   string    `json:"service"`
	Route     string    `json:"route"`
	Method    string    `json:"method"`
	Status    int       `json:"status"`
	Duration  int64     `json:"duration_us"`
	Bytes     int64     `json:"response_bytes"`
	RequestID string    `json:"request_id"`
	KeyName   string    `json:"api_key"` // empty: no key that is known
}

// A LogFilter picks logs; zero fields pick all. Logs come newest first, in the
// falling order of their ids, from the one before Before, at most Limit.
type LogFilter struct {
	Service, Route, Method string
	Status                 int64
	RequestID              string
	From, To               time.Time // To is excluded
	Before                 int64     // 0 for the newest
	Limit                  int
}
