//go:build e2e

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/freeport"
)

// cached lists what the cache holds.
func cached(t *testing.T) string {
	t.Helper()
	dir, err := fetch.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if missing := fetch.Missing(dir); len(missing) > 0 {
		t.Errorf("missing from the cache: %v", missing)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		t.Errorf("the cache %s is empty", dir)
	}
	return strings.Join(names, " ")
}

// temporary lists files in the temporary folder that speak of the mesh.
func (m *mesh) temporary(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(os.TempDir(), e.Name())
		if !strings.HasPrefix(e.Name(), "embedded_postgres") && !strings.Contains(e.Name(), "meesh") {
			continue // not ours: the log of this very test may lie here
		}
		if info, err := e.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			continue // gone since, or no log of a program
		}
		text, err := os.ReadFile(path)
		if err != nil {
			continue // another account's
		}
		if strings.Contains(string(text), string(m.home)) {
			found = append(found, path)
		}
	}
	return found
}

func (m *mesh) testDown(t *testing.T) {
	cache := cached(t)
	// What looks for remains must see what is there now.
	if n := len(processes(t, string(m.home), m.guard)); n < len(servers) {
		t.Errorf("only %d processes found of a running mesh", n)
	}
	if freeport.Check(corePorts(m.offset)) == nil {
		t.Error("no port is taken by a running mesh")
	}
	ended := func() {
		t.Helper()
		if left := processes(t, string(m.home), m.guard); len(left) > 0 {
			t.Errorf("processes left:\n%s", strings.Join(left, "\n"))
		}
		if freeport.Check(corePorts(m.offset)) != nil {
			t.Error("a port is still taken")
		}
	}

	r := m.run(t, 0, "down")
	t.Logf("down in %.1f s", r.took.Seconds())
	says(t, r.stderr, "Stopped")
	ended()
	if !m.home.Exists() {
		t.Error("the mesh is forgotten without --volumes")
	}
	m.status(t, 3)
	says(t, m.run(t, 3, "query", "SELECT 1").stderr, "up")
	says(t, m.run(t, 0, "down").stderr, "Nothing runs")

	says(t, m.run(t, 0, "down", "--volumes").stderr, "downloads are kept")
	ended()
	if _, err := os.Lstat(string(m.home)); !errors.Is(err, fs.ErrNotExist) {
		entries, _ := os.ReadDir(string(m.home))
		t.Errorf("left in the state folder: %v (%v)", entries, err)
	}
	if left := m.temporary(t); len(left) > 0 {
		t.Errorf("left in the temporary folder: %v", left)
	}
	if after := cached(t); after != cache {
		t.Errorf("the cache held %s and holds %s", cache, after)
	}
	says(t, m.run(t, 0, "down", "--volumes").stderr, "Nothing runs")
}
