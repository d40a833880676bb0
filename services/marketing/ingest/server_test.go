package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/marketing/migrations"
	"github.com/datameesh/datameesh/services/marketing/postgres"
)

var schema = pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: migrations.Files}

const (
	reader = "key-of-a-reader"
	writer = "key-of-a-writer"
)

// A caller sends requests to a marketing ingest API on a database of its own.
type caller struct {
	*conformance.Server
	t      *testing.T
	db     pgtest.Database
	routes []string
}

func newCaller(t *testing.T) caller {
	t.Helper()
	t.Parallel()
	return newCallerAlone(t)
}

// newCallerAlone is newCaller for a test that runs while no other does.
func newCallerAlone(t *testing.T) caller {
	t.Helper()
	db := pgtest.New(t, schema)
	routes := routes(t, db.URL("marketing_app"))
	return caller{conformance.Serve(t, routes.Handler()), t, db, routes.Routes()}
}

// routes gives the API on the database with the URL.
func routes(t *testing.T, url string) *rest.Router {
	t.Helper()
	pool, err := database.Open(t.Context(), url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	keys := conformance.Keys(t, map[string][]string{reader: {"leads:read"}, writer: {"leads:ingest"}})
	routes, err := Routes(postgres.New(pool), rest.Service{Keys: keys, Limit: ratelimit.New(100_000)})
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

// want sends with the key that fits the method and fails unless the answer has
// the status. A PATCH gets the ETag of what it changes unless headers say otherwise.
func (c caller) want(status int, method, path, body string, headers ...string) conformance.Answer {
	c.t.Helper()
	key := writer
	switch {
	case method == "GET":
		key = reader
	case method == "PATCH" && headers == nil:
		headers = []string{"If-Match", c.Send(reader, "GET", path, "").Header.Get("ETag")}
		if headers[1] == "" {
			headers[1] = "*"
		}
	}
	a := c.Send(key, method, path, body, headers...)
	if a.Status != status {
		c.t.Fatalf("%s %s %.100s: %d %s, want %d", method, path, body, a.Status, a.Text, status)
	}
	return a
}

// items gives the list of an answer.
func items(a conformance.Answer) []any { return a.Body["items"].([]any) }

func TestConformance(t *testing.T) {
	c := newCaller(t)
	keys := map[string]string{"leads:read": reader, "leads:ingest": writer}
	conformance.Suite(t, c.Server, c.routes, keys)
	person := func(name string) string {
		return fmt.Sprintf(`{"email":"%[1]s.%[2]s@example.com","full_name":"=%[1]s of %[2]s","source":"Website","campaign_id":1,"score":40}`, name, conformance.Canary)
	}
	spoilt := func(name string) string {
		return csvHeader + conformance.Canary + " is no address,=" + name + ",Website,1,40,\n"
	}
	row := func(name string) string {
		return `{"raw":"` + name + "." + conformance.Canary + `@example.com,=` + name + `,Website,1,40,"}`
	}
	conformance.Manner(t, c.Server, keys, []conformance.Example{
		{Operation: "POST /v1/campaigns", Body: newsletter, Other: strings.Replace(newsletter, "Newsletter", "Another", 1)},
		{Operation: "GET /v1/campaigns"},
		{Operation: "GET /v1/campaigns/{id}", ID: "1"},
		{Operation: "PATCH /v1/campaigns/{id}", ID: "1", Body: `{"spend":1}`, Other: `{"spend":2}`},
		{Operation: "POST /v1/leads", Body: person("a"), Other: person("b")},
		{Operation: "POST /v1/leads/batch", Body: batch(person("c")), Other: batch(person("d"))},
		{Operation: "GET /v1/leads"},
		{Operation: "GET /v1/leads/{id}", ID: "1"},
		{Operation: "POST /v1/leads/import", Body: spoilt("e"), Other: spoilt("f"), ContentType: "text/csv"},
		{Operation: "GET /v1/leads/imports/{id}", ID: "1"},
		{Operation: "GET /v1/leads/dead-letters"},
		{Operation: "GET /v1/leads/dead-letters/{id}", ID: "1"},
		{Operation: "PATCH /v1/leads/dead-letters/{id}", ID: "1", Body: row("g"), Other: row("h")},
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	c := newCaller(t)
	c.want(404, "GET", "/v1/nothing", "")
	c.want(404, "GET", "/v1/campaigns/", "")
	c.want(405, "DELETE", "/v1/campaigns", "")
}

// batch is a path beside the ids of leads, not one of them.
func TestBatchIsNoID(t *testing.T) {
	c := newCaller(t)
	c.want(405, "GET", "/v1/leads/batch", "")
	c.want(404, "POST", "/v1/leads/batch/status", `{"status":"lost"}`)
	c.want(404, "POST", "/v1/leads/b/status", `{"status":"lost"}`)
	c.want(404, "POST", "/v1/leads/7/status", `{"status":"lost"}`)
	c.want(405, "POST", "/v1/leads/7", `{}`)
	c.want(405, "DELETE", "/v1/leads/batch", "")
}
