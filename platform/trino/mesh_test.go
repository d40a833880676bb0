//go:build mesh

package trino

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

// These tests need a mesh that runs in the folder $MEESH_HOME:
//
//	MEESH_HOME=… go test -tags mesh ./trino

type runningMesh struct{ *meshtest.Mesh }

func running(t *testing.T) *runningMesh {
	t.Helper()
	return &runningMesh{meshtest.Running(t)}
}

// do asks as a person and gives the outcome: "ok", or Trino's name of the error.
func (r *runningMesh) do(t *testing.T, person, sql string) string {
	t.Helper()
	client, err := query.New(query.Config{CA: r.CA, User: person, Password: r.Password(person), Source: "test", Address: r.Trino()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	out, err := query.NewWriter("csv", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Run(context.Background(), sql, out, nil)
	var failed *query.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &failed):
		return failed.Name
	}
	t.Fatalf("%s: %s: %v", person, sql, err)
	return ""
}

// Who may do what, by hand: engineers and dbt everything, everybody else reads.
func TestMeshAccess(t *testing.T) {
	r := running(t)
	const (
		ok     = "ok"
		denied = "PERMISSION_DENIED"
		// Trino lets them; the role that the catalog connects as does not.
		database = "JDBC_ERROR"
	)
	read := []string{
		"SELECT count(*) FROM sales.public.customers",
		"SELECT count(*) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email",
		"SELECT count(*) FROM sales_api.public.api_logs",
		"SELECT count(*) FROM marketing_api.public.api_logs",
		"SELECT count(*) FROM TABLE(sequence(1, 10))",
		"SHOW CATALOGS",
	}
	write := []string{
		"INSERT INTO sales.public.customers (customer_id) VALUES (-1)",
		"DELETE FROM marketing.public.leads WHERE lead_id = -1",
		"UPDATE sales.public.orders SET status = 'paid' WHERE order_id = -1",
		"CREATE TABLE sales.public.planted (i integer)",
		"DROP TABLE marketing.public.leads",
		"CREATE SCHEMA sales.planted",
	}
	const passThrough = "SELECT * FROM TABLE(sales.system.query(query => 'SELECT count(*) FROM customers'))"
	for _, p := range []struct{ person, write, passThrough string }{
		{"alex", denied, denied},
		{"sarah", denied, denied},
		{"mike", database, ok},
		{"emma", denied, denied},
		{"sam", denied, denied},
		{"mia", denied, denied},
		{"dbt", database, ok},
		{"collector", denied, denied},
		{"verify", denied, denied},
		{"lake", database, ok},
	} {
		for _, sql := range read {
			if got := r.do(t, p.person, sql); got != ok {
				t.Errorf("%s: %s: %s, want ok", p.person, sql, got)
			}
		}
		for _, sql := range write {
			if got := r.do(t, p.person, sql); got != p.write {
				t.Errorf("%s: %s: %s, want %s", p.person, sql, got, p.write)
			}
		}
		if got := r.do(t, p.person, passThrough); got != p.passThrough {
			t.Errorf("%s: %s: %s, want %s", p.person, passThrough, got, p.passThrough)
		}
	}
}

// Queries of others are seen and killed by engineers only.
func TestMeshQueriesOfOthers(t *testing.T) {
	r := running(t)
	const marker = "'a query of mike that others may not see'"
	if got := r.do(t, "mike", "SELECT "+marker); got != "ok" {
		t.Fatal(got)
	}
	seen := "SELECT 1 / count(*) FROM system.runtime.queries WHERE \"user\" = 'mike' AND query LIKE '%may not see%' AND query NOT LIKE '%runtime%'"
	for person, want := range map[string]string{"mike": "ok", "alex": "DIVISION_BY_ZERO", "dbt": "DIVISION_BY_ZERO", "verify": "DIVISION_BY_ZERO"} {
		if got := r.do(t, person, seen); got != want {
			t.Errorf("%s looks for it: %s, want %s", person, got, want)
		}
	}
}

// request sends one statement and gives the HTTP status.
func (r *runningMesh) request(t *testing.T, url, user, password string, headers map[string]string) int {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CA)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	req, err := http.NewRequest(http.MethodPost, url+"/v1/statement", strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}

func TestMeshLogin(t *testing.T) {
	r := running(t)
	https := fmt.Sprintf("https://localhost:%d", r.Port(topology.PortTrino))
	address := fmt.Sprintf("https://127.0.0.1:%d", r.Port(topology.PortTrino))
	internal := fmt.Sprintf("http://127.0.0.1:%d", r.Port(topology.PortTrinoInternal))
	alex := r.Password("alex")
	for _, c := range []struct {
		name, url, user, password string
		headers                   map[string]string
		want                      int
	}{
		{"right password", https, "alex", alex, nil, 200},
		{"right password by address", address, "alex", alex, nil, 200},
		{"wrong password", https, "alex", "wrong", nil, 401},
		{"password of another", https, "alex", r.Password("mike"), nil, 401},
		{"empty password", https, "alex", "", nil, 401},
		{"nobody", https, "nobody", alex, nil, 401},
		{"header only", https, "", "", map[string]string{"X-Trino-User": "alex"}, 401},
		{"nothing", https, "", "", nil, 401},
		{"password without TLS", internal, "alex", alex, nil, 403},
		{"header without TLS", internal, "", "", map[string]string{"X-Trino-User": "alex"}, 403},
		// 406: "not allowed to process X-Forwarded headers".
		{"forged proxy header", internal, "alex", alex, map[string]string{"X-Forwarded-Proto": "https"}, 406},
	} {
		if got := r.request(t, c.url, c.user, c.password, c.headers); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
