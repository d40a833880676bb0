package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/grafana"
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

// Without a Grafana the doctor says what to do, and nothing is wrong; one that is
// named and is none is wrong.
func TestDoctorLooksForGrafana(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PATH", cache)
	t.Setenv(grafana.HomeVariable, "")
	m := state.Mesh{Profile: state.ProfileFull}
	if _, err := grafana.Find(t.Context()); err == nil {
		t.Log("this machine has a Grafana where packages put it")
	} else if c := checkGrafana(t.Context(), m, cache); c.OK || !c.Warning || !strings.Contains(c.Fix, "grafana install") {
		t.Errorf("none: %+v", c)
	}
	t.Setenv(grafana.HomeVariable, cache)
	if c := checkGrafana(t.Context(), m, cache); c.OK || c.Warning || !strings.Contains(c.Found, "it holds no Grafana") || !strings.Contains(c.Fix, grafana.HomeVariable) {
		t.Errorf("named, but none: %+v", c)
	}
}

// grafana install refuses what is no address, and says what to do without a network.
func TestGrafanaInstallRefuses(t *testing.T) {
	t.Setenv("MEESH_CACHE", t.TempDir())
	t.Setenv(fetch.GrafanaURLVariable, "ftp://example.org/grafana-12.4.11.tar.gz")
	if code := Main(t.Context(), []string{"grafana", "install"}); code != exitUnreachable {
		t.Errorf("exit code %d, want %d", code, exitUnreachable)
	}
	if code := Main(t.Context(), []string{"grafana", "install", "more"}); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
}
