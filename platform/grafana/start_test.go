//go:build grafana

package grafana_test

import (
	"context"
	"testing"

	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/state"
)

// start starts a mesh that is removed when the test ends.
func start(t *testing.T) (*meshrun.Mesh, *meshtest.Mesh) {
	t.Helper()
	m, err := meshrun.Up(t.Context(), "../../bin")
	if m == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, args := range [][]string{{"status", "--all"}, {"logs", "-n", "12"}} {
				out, err := m.Run(context.Background(), args...)
				t.Logf("meesh %v: %v\n%s", args, err, out)
			}
		}
		if err := m.Down(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(state.HomeVariable, string(m.Home))
	return m, meshtest.Running(t)
}

// meesh runs a command on the mesh, which must succeed, and gives its data.
func (s *suite) meesh(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.run.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
