package cli

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/datameesh/datameesh/platform/preflight"
	"github.com/datameesh/datameesh/platform/state"
)

// Before there is a mesh, the doctor checks what "up" would start: all of it.
func TestDoctorChecksTheLakeOfAMeshToCome(t *testing.T) {
	t.Setenv(state.HomeVariable, filepath.Join(t.TempDir(), "mesh"))
	t.Setenv("MEESH_CACHE", t.TempDir())
	checks, err := diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"extended attributes", "go", "mvn with Java"} {
		if !slices.ContainsFunc(checks, func(c preflight.Check) bool { return c.Name == name }) {
			t.Errorf("no check of %s: %v", name, checks)
		}
	}
}
