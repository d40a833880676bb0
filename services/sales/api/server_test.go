package api

import (
	"fmt"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales/migrations"
	"github.com/datameesh/datameesh/services/sales/postgres"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: migrations.Files}

const (
	reader = "key-of-a-reader"
	writer = "key-of-a-writer"
)

// A caller sends requests to a Sales API on a database of its own.
type caller struct {
	*conformance.Server
	t      *testing.T
	routes []string
}

func newCaller(t *testing.T) caller {
	t.Helper()
	t.Parallel()
	pool, err := database.Open(t.Context(), pgtest.New(t, schema).URL("sales_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	keys := conformance.Keys(t, map[string][]string{reader: {"sales:read"}, writer: {"sales:write"}})
	routes, err := Routes(postgres.New(pool), rest.Service{Keys: keys, Limit: ratelimit.New(100_000)})
	if err != nil {
		t.Fatal(err)
	}
	return caller{conformance.Serve(t, routes.Handler()), t, routes.Routes()}
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
	keys := map[string]string{"sales:read": reader, "sales:write": writer}
	conformance.Suite(t, c.Server, c.routes, keys)
	customer := func(name string) string {
		return fmt.Sprintf(`{"customer_name":"=%[1]s of %[2]s","email":"%[1]s.%[2]s@example.com","phone":"%[2]s","region":"EMEA","segment":"Consumer"}`, name, conformance.Canary)
	}
	conformance.Manner(t, c.Server, keys, []conformance.Example{
		{Operation: "POST /v1/customers", Body: customer("a"), Other: customer("b")},
		{Operation: "GET /v1/customers"},
		{Operation: "GET /v1/customers/{id}", ID: "1"},
		{Operation: "PATCH /v1/customers/{id}", ID: "1", Body: `{"phone":"1 ` + conformance.Canary + `"}`, Other: `{"phone":"2 ` + conformance.Canary + `"}`},
		{Operation: "POST /v1/orders", Body: `{"customer_id":1,"total_amount":5}`, Other: `{"customer_id":1,"total_amount":6}`},
		{Operation: "GET /v1/orders"},
		{Operation: "GET /v1/orders/{id}", ID: "1"},
		{Operation: "PATCH /v1/orders/{id}", ID: "1", Body: `{"total_amount":7}`, Other: `{"total_amount":8}`},
		{Operation: "POST /v1/orders/{id}/status", ID: "1", Body: `{"status":"paid"}`},
		{Operation: "GET /v1/revenue"},
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	c := newCaller(t)
	c.want(404, "GET", "/v1/nothing", "")
	c.want(404, "GET", "/v1/customers/", "")
	c.want(405, "DELETE", "/v1/customers", "")
}
