package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/datameesh/datameesh/platform/state"
)

// mesh makes a folder in which a mesh is about to be.
func meshIn(t *testing.T, name string) state.Dir {
	t.Helper()
	d := state.Dir(filepath.Join(t.TempDir(), name))
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(meshLock(d), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// Each mesh has user ids of its own, also when all begin at once, keeps them, and
// gives them back.
func TestUIDsOfMeshes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uids")
	// Not what runs on this machine: it may have a mesh.
	nothing := func(int, int) ([]int, error) { return nil, nil }
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken = map[int]state.Dir{}
	)
	for i := range 9 {
		d := meshIn(t, fmt.Sprint("mesh", i))
		wg.Go(func() {
			first, err := claimUIDs(dir, d, nothing)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || first < 61001 || first+110 > 61999 || (first-61001)%111 != 0 || taken[first] != "" {
				t.Errorf("%s gets %d, which %q has (%v)", d, first, taken[first], err)
			}
			taken[first] = d
		})
	}
	wg.Wait()
	for first, d := range taken {
		if again, err := claimUIDs(dir, d, nothing); err != nil || again != first {
			t.Errorf("%s had %d and gets %d (%v)", d, first, again, err)
		}
	}
	tenth := meshIn(t, "tenth")
	if _, err := claimUIDs(dir, tenth, nothing); err == nil || !strings.Contains(err.Error(), "belong to other meshes") {
		t.Errorf("the tenth: %v", err)
	}
	// What somebody left running keeps its ids.
	busy := func(first, _ int) ([]int, error) { return []int{first}, nil }
	if first, err := claimUIDs(filepath.Join(t.TempDir(), "uids"), tenth, busy); err == nil {
		t.Errorf("got %d, under which something runs", first)
	}
	// One is removed properly, one by hand.
	if err := releaseUIDs(dir, taken[61223]); err != nil {
		t.Fatal(err)
	}
	if first, err := claimUIDs(dir, tenth, nothing); err != nil || first != 61223 {
		t.Errorf("the tenth gets %d (%v)", first, err)
	}
	if err := os.RemoveAll(string(taken[61112])); err != nil {
		t.Fatal(err)
	}
	if first, err := claimUIDs(dir, meshIn(t, "eleventh"), nothing); err != nil || first != 61112 {
		t.Errorf("the eleventh gets %d (%v)", first, err)
	}
	// The last one leaves nothing.
	alone := filepath.Join(t.TempDir(), "uids")
	if _, err := claimUIDs(alone, tenth, nothing); err != nil {
		t.Fatal(err)
	}
	if err := releaseUIDs(alone, tenth); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(alone); !os.IsNotExist(err) {
		t.Errorf("what is left: %v", err)
	}
	if err := releaseUIDs(alone, tenth); err != nil {
		t.Errorf("given back twice: %v", err)
	}
}
