//go:build mesh

package trino

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/meshtest"
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
