package collect

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/apimetrics/migrations"
	"github.com/datameesh/datameesh/services/apimetrics/postgres"
	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/rest"
)

var schema = pgtest.Schema{Owner: "apimetrics_owner", App: "apimetrics_app", Migrations: migrations.Files}

const (
	reader = "key-of-a-reader"
	writer = "key-of-a-writer"
)

// routesOn gives the routes of a logger on the database.
func routesOn(t *testing.T, url string) *rest.Router {
	t.Helper()
	pool, err := database.Open(t.Context(), url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	keys := conformance.Keys(t, map[string][]string{reader: {"metrics:read"}, writer: {"logs:write"}})
	routes, err := Routes(postgres.New(pool), rest.Service{Keys: keys, Limit: ratelimit.New(100_000)})
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

// A caller sends requests to an API metrics logger on a database of its own.
type caller struct {
	*conformance.Server
	t      *testing.T
	routes []string
}

func newCaller(t *testing.T) caller {
	t.Helper()
	t.Parallel()
	routes := routesOn(t, pgtest.New(t, schema).URL("apimetrics_app"))
	return caller{conformance.Serve(t, routes.Handler()), t, routes.Routes()}
}

// want sends with the key that fits the method and fails unless the answer has
// the status.
func (c caller) want(status int, method, path, body string, headers ...string) conformance.Answer {
	c.t.Helper()
	key := writer
	if method == "GET" {
		key = reader
	}
	a := c.Send(key, method, path, body, headers...)
	if a.Status != status {
		c.t.Fatalf("%s %s %.100s: %d %s, want %d", method, path, body, a.Status, a.Text, status)
	}
	return a
}

// store sends a batch of the entries.
func (c caller) store(entries ...apimetrics.Entry) {
	c.t.Helper()
	if a := c.want(202, "POST", "/v1/logs", batch(c.t, entries...)); a.Body["stored"] != float64(len(entries)) {
		c.t.Errorf("of %d entries: %s", len(entries), a.Text)
	}
}

func batch(t *testing.T, entries ...apimetrics.Entry) string {
	t.Helper()
	text, err := json.Marshal(apimetrics.Batch{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// items gives the list of an answer.
func items(a conformance.Answer) []any { return a.Body["items"].([]any) }

func entryAt(at time.Time) apimetrics.Entry {
	return apimetrics.Entry{ServedAt: at, Service: "sales-api", Route: "/v1/orders/:id", Method: "GET", Status: 200, Duration: 1500, Bytes: 230, RequestID: "r", KeyName: "sales-reader"}
}

func TestConformance(t *testing.T) {
	c := newCaller(t)
	keys := map[string]string{"metrics:read": reader, "logs:write": writer}
	conformance.Suite(t, c.Server, c.routes, keys)
	entry := entryAt(time.Now())
	conformance.Manner(t, c.Server, keys, []conformance.Example{
		{Operation: "POST /v1/logs", Body: batch(t, entry), Other: batch(t, entry, entry)},
		{Operation: "GET /v1/logs"},
		{Operation: "GET /v1/metrics"},
		{Operation: "GET /v1/metrics/timeline"},
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	c := newCaller(t)
	c.want(404, "GET", "/v1/nothing", "")
	c.want(404, "GET", "/v1/logs/1", "")
	c.want(405, "DELETE", "/v1/logs", "")
}

// A database that is away is the service's trouble, not the caller's.
func TestUnreachableDatabase(t *testing.T) {
	t.Parallel()
	routes := routesOn(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable")
	c := caller{conformance.Serve(t, routes.Handler()), t, routes.Routes()}
	for _, path := range []string{"/v1/logs", "/v1/metrics", "/v1/metrics/timeline"} {
		if a := c.want(503, "GET", path, ""); a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	c.want(503, "POST", "/v1/logs", batch(t, entryAt(time.Now())))
}
