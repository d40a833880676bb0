package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/sales/migrations"
	"github.com/datameesh/datameesh/services/sales/postgres"
)

var schema = pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: migrations.Files}

const (
	reader = "key of a reader"
	writer = "key of a writer"
)

// A caller sends requests to a Sales API on a database of its own.
type caller struct {
	t   *testing.T
	url string
	db  pgtest.Database
}

func newCaller(t *testing.T) caller {
	t.Helper()
	t.Parallel()
	db := pgtest.New(t, schema)
	pool, err := database.Open(t.Context(), db.URL("sales_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	server := httptest.NewServer((&Server{Store: postgres.New(pool), Keys: ring(t)}).Routes())
	t.Cleanup(server.Close)
	return caller{t, server.URL, db}
}

func ring(t *testing.T) *apikey.Ring {
	t.Helper()
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	text := fmt.Sprintf(`{"keys":[{"name":"reader","sha256":%q,"scopes":["sales:read"]},{"name":"writer","sha256":%q,"scopes":["sales:read","sales:write"]}]}`, hash(reader), hash(writer))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := apikey.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// An answer is what came back: the status and the JSON object.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// send sends a request with the key; body is JSON text, "" for none.
func (c caller) send(key, method, path, body string) answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if err := json.Unmarshal(text, &a.body); err != nil {
		c.t.Fatalf("%s %s answered %d with %q, which is no JSON object", method, path, a.status, text)
	}
	return a
}

// want sends as the writer and fails unless the answer has the status.
func (c caller) want(status int, method, path, body string) answer {
	c.t.Helper()
	a := c.send(writer, method, path, body)
	if a.status != status {
		c.t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, a.status, a.body, status)
	}
	return a
}

func TestEveryRouteAsksForItsScope(t *testing.T) {
	c := newCaller(t)
	for _, r := range []struct{ method, path, scope string }{
		{"GET", "/v1/customers", "read"},
		{"POST", "/v1/customers", "write"},
		{"GET", "/v1/customers/1", "read"},
		{"PATCH", "/v1/customers/1", "write"},
		{"GET", "/v1/orders", "read"},
		{"POST", "/v1/orders", "write"},
		{"GET", "/v1/orders/1", "read"},
		{"PATCH", "/v1/orders/1", "write"},
		{"POST", "/v1/orders/1/status", "write"},
		{"GET", "/v1/revenue", "read"},
	} {
		for _, key := range []string{"", "no key at all", reader, writer} {
			got := c.send(key, r.method, r.path, "").status
			known := key == reader || key == writer
			if (got == 401) == known {
				t.Errorf("%s %s with key %q: %d", r.method, r.path, key, got)
			}
			if known && (got == 403) != (r.scope == "write" && key == reader) {
				t.Errorf("%s %s with key %q: %d", r.method, r.path, key, got)
			}
		}
	}
}

func TestErrorsAreProblems(t *testing.T) {
	c := newCaller(t)
	for _, r := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/v1/nothing", "", 404, "not_found"},
		{"DELETE", "/v1/customers", "", 405, "method_not_allowed"},
		{"GET", "/v1/customers/99", "", 404, "not_found"},
		{"GET", "/v1/customers/abc", "", 404, "not_found"},
		{"GET", "/v1/customers/99999999999999999999", "", 404, "not_found"},
		{"GET", "/v1/customers?limit=0", "", 400, "invalid_query"},
		{"GET", "/v1/customers?colour=red", "", 400, "invalid_query"},
		{"GET", "/v1/orders?status=lost", "", 400, "invalid_query"},
		{"GET", "/v1/revenue?from=2026-02-01&to=2026-01-01", "", 400, "invalid_query"},
		{"GET", "/v1/revenue?from=1990-01-01&to=2026-01-01", "", 400, "invalid_query"},
		{"POST", "/v1/customers", "{", 400, "malformed_request"},
		{"POST", "/v1/customers", `{"nmae":"x"}`, 422, "invalid_body"},
		{"POST", "/v1/customers", `{}`, 422, "invalid_body"},
		{"POST", "/v1/orders", `{"customer_id":99,"total_amount":10}`, 422, "invalid_body"},
		{"POST", "/v1/orders", `{"customer_id":99,"total_amount":10.005}`, 422, "invalid_body"},
		{"POST", "/v1/orders", `{"customer_id":99,"total_amount":"` + strings.Repeat("1", 70_000) + `"}`, 413, "payload_too_large"},
		{"POST", "/v1/orders/1/status", `{"status":"paid"}`, 404, "not_found"},
	} {
		a := c.send(writer, r.method, r.path, r.body)
		if a.status != r.status || a.body["code"] != r.code || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.40s: %d %v (%s), want %d %s", r.method, r.path, r.body, a.status, a.body, a.header.Get("Content-Type"), r.status, r.code)
		}
		if a.body["request_id"] == nil || a.body["request_id"] != a.header.Get("X-Request-Id") {
			t.Errorf("%s %s: request id %v in the body, %q in the header", r.method, r.path, a.body["request_id"], a.header.Get("X-Request-Id"))
		}
	}
}
