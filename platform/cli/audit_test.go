package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

// stopped makes a mesh that does not run, for commands that only read its folder.
func stopped(t *testing.T) (state.Dir, *secrets.Store) {
	t.Helper()
	d := state.Dir(t.TempDir())
	t.Setenv(state.HomeVariable, string(d))
	store, _, err := secrets.Ensure(d.Secrets(), "")
	if err == nil {
		err = state.Save(d, state.Mesh{PortOffset: 20_000}) // where no other mesh listens
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, store
}

// A damaged line is said, and hides no other.
func TestAuditSaysWhatIsDamaged(t *testing.T) {
	d, _ := stopped(t)
	dir := local.AuditDir(d)
	record, err := audit.Open(dir, []byte("key"), audit.DefaultLimits)
	if err == nil {
		err = record.Append(audit.Event{Who: "alex", Tool: audit.ToolHub, Action: "login", Outcome: audit.OK})
	}
	if err == nil {
		err = record.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("damaged\n")
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newAuditCommand()
	var out, said bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&said)
	c.SetArgs([]string{"-o", "csv"})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), ",alex,hub,login,") {
		t.Errorf("found:\n%s", &out)
	}
	if !strings.Contains(said.String(), "1 damaged lines were left out, the first: "+filepath.Base(files[0])+", line 2: a line that is no event") {
		t.Errorf("said:\n%s", &said)
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"": "0001-01-01T00:00:00Z", "0": "0001-01-01T00:00:00Z",
		"90m": "2026-11-28T10:30:00Z", "24h": "2026-11-27T12:00:00Z", "7d": "2026-11-21T12:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T08:30:00Z": "2026-11-01T08:30:00Z", "2026-11-01T08:30:00+02:00": "2026-11-01T06:30:00Z", "2026-11-01 08:30:00": "2026-11-01T08:30:00Z",
	} {
		if got, err := moment(s, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"soon", "-1h", "-1d", "1", "2026-13-01", "2026-11-31", "d"} {
		if got, err := moment(s, now); err == nil {
			t.Errorf("%q is taken for %v", s, got)
		}
	}
}
