package api

import (
	"net/http"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/sales/postgres"
)

// While others have all connections, requests are told to come back, well before
// the connections would be let go.
func TestAllConnectionsAreBusy(t *testing.T) {
	t.Parallel()
	pool, err := database.Open(t.Context(), pgtest.New(t, schema).URL("sales_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	routes, err := Routes(postgres.New(pool), rest.Service{Keys: conformance.Keys(t, map[string][]string{reader: {"sales:read"}}), Limit: ratelimit.New(100_000)})
	if err != nil {
		t.Fatal(err)
	}
	server := conformance.Serve(t, routes.Handler())
	var release []func()
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release = append(release, conn.Release)
	}
	for _, path := range []string{"/v1/customers/1", "/v1/customers", "/v1/revenue"} {
		a := server.Send(reader, "GET", path, "")
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q, %s", path, a.Status, a.Header.Get("Retry-After"), a.Text)
		}
	}
	for _, letGo := range release {
		letGo()
	}
	if a := server.Send(reader, "GET", "/v1/customers", ""); a.Status != http.StatusOK {
		t.Errorf("with connections again: %d %s", a.Status, a.Text)
	}
}
