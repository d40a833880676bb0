//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// untouched fails the test when a refused command has left something.
func (m *mesh) untouched(t *testing.T) {
	t.Helper()
	if _, err := os.Lstat(string(m.home)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was made, and nothing was started (%v)", m.home, err)
	}
}

func TestWrongUsage(t *testing.T) {
	m := newMesh(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"up", "--bogus"}, "unknown flag: --bogus"},
		{[]string{"bogus"}, "unknown command"},
		{[]string{"up", "more"}, "unknown command"},
		{m.up("--scale", "huge"), "small, demo, load"},
		{m.up("--as-of", "yesterday"), "2026-01-31"},
		{[]string{"up", "--port-offset", "60000"}, "65535"},
		{[]string{"up", "--profile", "half"}, "core"},
		{[]string{"status", "-o", "xml"}, "json"},
		{[]string{"demo", "--runs", "0"}, "--runs"},
	} {
		says(t, m.run(t, 2, c.args...).stderr, c.says)
		m.untouched(t)
	}
}

func TestPortTaken(t *testing.T) {
	m := newMesh(t)
	port := m.port(topology.PortSalesDB)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	r := m.run(t, 1, m.up()...)
	says(t, r.stderr, fmt.Sprintf("port %d", port), "sales-db", fmt.Sprintf("process %d", os.Getpid()), "--port-offset")
	m.untouched(t)
}

// A folder that the servers could not use is refused before anything starts.
func TestClosedFolder(t *testing.T) {
	m := newMesh(t)
	closed := filepath.Join(m.parent, "closed")
	mode := fs.FileMode(0o700) // the account of root's servers cannot enter
	if os.Geteuid() != 0 {
		mode = 0o500 // and an ordinary user can make nothing in here
	}
	if err := os.Mkdir(closed, mode); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(closed); err != nil {
			t.Errorf("left behind: %v", err)
		}
	}()
	m.home = state.Dir(filepath.Join(closed, "mesh"))
	r := m.run(t, 1, m.up()...)
	t.Log(r.stderr)
	says(t, r.stderr, closed)
	m.untouched(t)
}
