//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/topology"
)

// An auditEvent is one of "audit -o json", with the fields that are documented.
type auditEvent struct {
	At, Who, Tool, Action, Object, Outcome, From, Detail string
	Seq                                                  int64
}

// audited are the events that the flags choose.
func (m *mesh) audited(t *testing.T, flags ...string) []auditEvent {
	t.Helper()
	r := m.run(t, 0, append([]string{"audit", "-o", "json"}, flags...)...)
	var list []auditEvent
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	return list
}

// untilAudited waits for n events.
func (m *mesh) untilAudited(t *testing.T, n int, flags ...string) []auditEvent {
	t.Helper()
	var list []auditEvent
	until(t, strings.Join(flags, " "), func() error {
		if list = m.audited(t, flags...); len(list) < n {
			return fmt.Errorf("%d events", len(list))
		}
		return nil
	})
	return list
}

// What the tests before this one did is in the record, and no literal of it.
func (m *mesh) testAudit(t *testing.T) {
	const canary = "canary-4711"
	const count = `SELECT count(*) FROM sales.public.customers WHERE email = '` + canary + `' /* ` + canary + ` */`
	m.run(t, 0, "query", "--as", "sam", count)
	sam := m.untilAudited(t, 1, "--who", "sam", "--tool", "trino", "--action", "query", "--object", "email = ?")
	last := sam[len(sam)-1]
	if last.Outcome != "ok" || last.From == "" || last.Object != "sales.public.customers" || !strings.HasSuffix(last.Detail, "SELECT count(*) FROM sales.public.customers WHERE email = ?") {
		t.Errorf("%+v", last)
	}
	m.run(t, 1, "query", "--as", "sam", "SELECT "+canary[:6]+" FROM sales.public.customers")
	m.untilAudited(t, 1, "--who", "sam", "--outcome", "failed")
	m.untilAudited(t, 1, "--tool", "trino", "--action", "query", "--outcome", "refused")
	m.untilAudited(t, 1, "--tool", "api", "--action", "use-key", "--who", "sales-reader")
	m.untilAudited(t, 1, "--tool", "api", "--outcome", "refused")

	dsn := fmt.Sprintf("postgres://mike:%s@127.0.0.1:%d/sales_data", canary, m.port(topology.PortSalesDB))
	if conn, err := pgx.Connect(m.ctx, dsn); err == nil {
		_ = conn.Close(m.ctx)
		t.Error("a wrong password is right")
	}
	refused := m.untilAudited(t, 1, "--tool", "postgresql", "--who", "mike", "--action", "login", "--outcome", "refused")
	if refused[0].Object != "sales-db/sales_data" {
		t.Errorf("%+v", refused[0])
	}
	m.run(t, 0, "credentials", "rotate", "marketing-reader")
	m.untilAudited(t, 1, "--tool", "meesh", "--action", "rotate", "--object", "marketing-reader")

	// While nobody keeps the record, Trino and the databases remember.
	pid := m.status(t, 0)["mesh-audit"].PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.run(t, 0, "query", "--as", "alex", "SELECT 1 AS while_away FROM sales.public.customers LIMIT 1")
	m.healed(t)
	if list := m.untilAudited(t, 1, "--who", "alex", "--object", "while_away"); len(list) != 1 {
		t.Errorf("%d events of one query: %+v", len(list), list)
	}

	head := strings.TrimSpace(m.run(t, 0, "audit", "verify").stdout)
	says(t, m.run(t, 0, "audit", "verify", "--head", head).stderr, "as they were written")
	files, err := filepath.Glob(filepath.Join(local.AuditDir(m.home), "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), canary[:6]) {
			t.Errorf("%s holds a literal", f)
		}
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v %v", f, info.Mode(), err)
		}
	}

	empty := m.run(t, 0, "audit", "--who", "nobody-at-all")
	says(t, empty.stderr, "No event matches")
	if list := m.audited(t, "--who", "nobody-at-all"); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	if csv := m.run(t, 0, "audit", "-o", "csv", "--limit", "3", "--since", "0").stdout; strings.Count(csv, "\n") != 4 || !strings.HasPrefix(csv, "at,who,tool,action,object,outcome,from,detail,seq\n") {
		t.Errorf("not a header and three events:\n%s", csv)
	}
	for _, args := range [][]string{{"--since", "soon"}, {"--tool", "grep"}, {"--outcome", "fine"}, {"--limit", "-1"}, {"--since", "1h", "--until", "2h"}, {"verify", "--head", "x"}, {"-o", "xml"}} {
		m.run(t, 2, append([]string{"audit"}, args...)...)
	}
}
