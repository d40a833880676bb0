//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/topology"
)

func (m *mesh) testBeforeUp(t *testing.T) {
	for _, args := range [][]string{{"query", "SELECT 1"}, {"demo"}, {"credentials", "mike"}, {"seed"}, {"logs"}} {
		says(t, m.run(t, 3, args...).stderr, "up")
	}
	says(t, m.run(t, 3, "status").stderr, "not running")
	says(t, m.run(t, 0, "down").stderr, "Nothing runs")
}

// Two people start the same mesh: one of them waits, both are told where it is.
func (m *mesh) testFirstUp(t *testing.T) {
	first, second := m.begin(t, m.up()...), m.begin(t, m.up()...)
	waited := 0
	for _, c := range []*command{first, second} {
		r := c.wait(t)
		if r.code != 0 {
			t.Fatal(r)
		}
		t.Logf("in %.1f s:\n%s%s", r.took.Seconds(), r.stderr, r.stdout)
		says(t, r.stdout,
			fmt.Sprintf("http://localhost:%d", m.port(topology.PortSalesAPI)),
			fmt.Sprintf("http://localhost:%d", m.port(topology.PortMarketingIngest)),
			fmt.Sprintf("https://localhost:%d", m.port(topology.PortTrino)),
			"850 rows", "alex", "credentials [NAME]", "demo")
		says(t, r.stderr, "Core ready", "Trino ready")
		if strings.Contains(r.stderr, "waiting for it") {
			waited++
			says(t, r.stderr, "nothing changed")
		}
	}
	if waited != 1 {
		t.Errorf("%d of the two waited for the other, want 1", waited)
	}
}

// servers are the components that run for ever in the profile core.
var servers = []string{
	"sales-db", "sales-api-db", "marketing-db", "platform-db",
	"sales-api", "marketing-ingest", "sales-api-logger", "marketing-api-logger", "trino", "mesh-collector", "mesh-audit",
}

func (m *mesh) testStatus(t *testing.T) {
	r := m.run(t, 0, "status", "-o", "json")
	var list []map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	for _, c := range list {
		for _, field := range []string{"name", "state", "ready", "waitingFor", "url", "pid", "rssBytes", "since"} {
			if _, ok := c[field]; !ok {
				t.Errorf("no field %s: %v", field, c)
			}
		}
	}
	all := m.status(t, 0)
	for _, name := range servers {
		c := all[name]
		if !c.Ready || c.State != "ready" || c.PID == 0 || c.RSSBytes == 0 || c.URL == "" || c.Since == nil || len(c.WaitingFor) > 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if len(all) != len(servers) {
		t.Errorf("%d components, want %d", len(all), len(servers))
	}
	var memory int64
	for _, c := range all {
		memory += c.RSSBytes
	}
	t.Logf("%d MB resident", memory/1e6)
}

func (m *mesh) testSecondUp(t *testing.T) {
	before := m.status(t, 0)
	// Also without the flags: a mesh keeps what it is.
	r := m.run(t, 0, "up")
	t.Logf("in %.1f s", r.took.Seconds())
	says(t, r.stderr, "nothing changed")
	says(t, r.stdout, "850 rows")
	samePIDs(t, before, m.status(t, 0))
	m.expect(t, http.StatusOK, http.MethodGet, topology.PortSalesAPI, "/readyz", "", "")
}

// samePIDs compares the processes of all servers.
func samePIDs(t *testing.T, before, after map[string]component) {
	t.Helper()
	for _, name := range servers {
		if before[name].PID == 0 || before[name].PID != after[name].PID {
			t.Errorf("%s was process %d and is %d", name, before[name].PID, after[name].PID)
		}
	}
}
