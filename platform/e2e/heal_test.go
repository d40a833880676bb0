//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// kill ends a process as a crash does.
func kill(t *testing.T, name string, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatalf("%s does not run", name)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", name, err)
	}
}

// watch asks the Sales API until stop is called, which tells how often it
// answered; every answer must be 200.
func (m *mesh) watch(t *testing.T, key string) (stop func() int) {
	var watching sync.WaitGroup
	end := make(chan struct{})
	answers := 0
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			a, err := m.call(http.MethodGet, topology.PortSalesAPI, "/v1/customers?limit=1", key, "")
			if err != nil || a.code != http.StatusOK {
				t.Errorf("Sales API: %d %v", a.code, err)
				return
			}
			answers++
		}
	})
	stop = sync.OnceValue(func() int {
		close(end)
		watching.Wait()
		return answers
	})
	t.Cleanup(func() { stop() })
	return stop
}

func (m *mesh) testKilledDatabase(t *testing.T) {
	const port = topology.PortMarketingIngest
	before := m.healed(t)
	admin, reader := m.credential(t, "marketing-admin"), m.credential(t, "marketing-reader")
	campaign := m.ask(t, "SELECT min(campaign_id) FROM marketing.public.campaigns")
	batch := `{"leads":[` + lead("after@example.com", campaign) + `]}`
	stop := m.watch(t, m.credential(t, "sales-reader"))

	// PostgreSQL refuses a data folder that others may read. So it stays down
	// until everything was looked at; alone, it would be back in a second.
	data := m.home.Data("marketing-db")
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	closeFolder := sync.OnceValue(func() error { return os.Chmod(data, 0o700) })
	t.Cleanup(func() { _ = closeFolder() })
	kill(t, "marketing-db", before["marketing-db"].PID)

	until(t, "status says that marketing-db is down", func() error {
		c := m.status(t, 0)["marketing-db"]
		if c.Ready || c.Error == "" {
			return fmt.Errorf("%s: %s", c.State, c.Error)
		}
		// Its sessions may outlive it for a moment.
		left, err := supervise.Using(data)
		if err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("%d sessions left", len(left)))
		}
		return nil
	})
	for _, line := range strings.Split(m.run(t, 0, "status").stdout, "\n") {
		if strings.HasPrefix(line, "marketing-db ") {
			t.Log(line)
			if strings.Contains(line, " ready ") {
				t.Errorf("status shows a killed database as ready: %s", line)
			}
		}
	}
	for range 10 {
		m.refused(t, http.StatusServiceUnavailable, http.MethodPost, port, "/v1/leads/batch", admin, batch)
		m.refused(t, http.StatusServiceUnavailable, http.MethodGet, port, "/v1/leads?limit=1", reader, "")
		m.refused(t, http.StatusServiceUnavailable, http.MethodGet, port, "/v1/leads/1", reader, "")
	}
	m.expect(t, http.StatusOK, http.MethodGet, port, "/livez", "", "")
	m.expect(t, http.StatusServiceUnavailable, http.MethodGet, port, "/readyz", "", "")
	// A stopped database stops no authentication.
	m.refused(t, http.StatusUnauthorized, http.MethodGet, port, "/v1/leads", "", "")
	says(t, m.run(t, 3, "query", "SELECT count(*) FROM marketing.public.leads").stderr, "status")
	if got := m.ask(t, "SELECT count(*) FROM sales.public.customers"); got != "1000" {
		t.Errorf("%s customers, want 1000", got)
	}

	if err := closeFolder(); err != nil {
		t.Fatal(err)
	}
	after := m.healed(t)
	if after["marketing-db"].PID == before["marketing-db"].PID {
		t.Error("marketing-db is the process that was killed")
	}
	// Its clients waited for it.
	for _, name := range []string{"marketing-ingest", "marketing-api-logger", "sales-api", "trino"} {
		if after[name].PID != before[name].PID {
			t.Errorf("%s was restarted", name)
		}
	}
	m.expect(t, http.StatusCreated, http.MethodPost, port, "/v1/leads/batch", admin, batch)
	if n := stop(); n == 0 {
		t.Error("the Sales API was never asked")
	} else {
		t.Logf("the Sales API answered %d times meanwhile, always 200", n)
	}
}

func (m *mesh) testKilledServers(t *testing.T) {
	before := m.healed(t)
	killed := []string{"sales-api", "trino"}
	for _, name := range killed {
		kill(t, name, before[name].PID)
	}
	until(t, "sales-api and trino run again", func() error {
		all := m.status(t, 0)
		for _, name := range killed {
			if c := all[name]; !c.Ready || c.PID == before[name].PID {
				return fmt.Errorf("%s is %s: %s", name, c.State, c.Error)
			}
		}
		return nil
	})
	m.healed(t)
	m.expect(t, http.StatusOK, http.MethodGet, topology.PortSalesAPI, "/v1/customers?limit=1", m.credential(t, "sales-reader"), "")
	if got := m.ask(t, "SELECT count(*) FROM sales.public.customers"); got != "1000" {
		t.Errorf("%s customers, want 1000", got)
	}
}

func (m *mesh) testKilledSupervisor(t *testing.T) {
	before := m.healed(t)
	stop := m.watch(t, m.credential(t, "sales-reader"))
	report, err := control.NewClient(m.home).Status(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	kill(t, "supervisor", report.PID)
	until(t, "the supervisor is gone", func() error {
		if _, err := control.NewClient(m.home).Status(m.ctx); !errors.Is(err, control.ErrNotRunning) {
			return fmt.Errorf("it answers: %w", err)
		}
		return nil
	})
	orphans := m.status(t, 3)
	samePIDs(t, before, orphans)
	if c := orphans["trino"]; c.State != "orphaned" {
		t.Errorf("trino is %s, want orphaned", c.State)
	}
	// Two at once: there must be one supervisor after it.
	first, second := m.begin(t, "up"), m.begin(t, "up")
	said := ""
	for _, c := range []*command{first, second} {
		r := c.wait(t)
		if r.code != 0 {
			t.Fatal(r)
		}
		said += r.stderr
	}
	says(t, said, "taking them over", "waiting for it")
	samePIDs(t, before, m.healed(t))
	if n := stop(); n == 0 {
		t.Error("the Sales API was never asked")
	}
	supervisors := 0
	for _, p := range processes(t, string(m.home), m.guard) {
		if strings.HasSuffix(strings.TrimSpace(p), "meesh supervise") {
			supervisors++
		}
	}
	if supervisors != 1 {
		t.Errorf("%d supervisors, want 1", supervisors)
	}
}
