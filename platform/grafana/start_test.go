//go:build grafana

package grafana_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/state"
)

// patience is how long one run of meesh may take on a slow and busy machine.
const patience = 10 * time.Minute

// start starts a mesh of the full profile in a folder and on ports of its own, with the
// programs that "make build" has built; more are arguments of "meesh up". When
// the test ends, the mesh is removed.
func start(t *testing.T, more ...string) *meshtest.Mesh {
	t.Helper()
	if _, err := os.Stat(program(t)); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	offset, err := freeport.Offset(func(offset int) map[int]string {
		return local.Ports(state.Mesh{PortOffset: offset, Profile: state.ProfileFull})
	})
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: under root the servers' account must be able to enter.
	parent, err := os.MkdirTemp("", "meesh-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(state.HomeVariable, filepath.Join(parent, "mesh"))
	t.Cleanup(func() {
		if t.Failed() {
			for _, args := range [][]string{{"status", "--all"}, {"logs", "-n", "12"}} {
				out, said, _ := run(t, args...)
				t.Logf("meesh %v\n%s%s", args, out, said)
			}
		}
		if _, said, err := run(t, "down", "--volumes"); err != nil {
			t.Errorf("%v\n%s", err, said)
		}
		if err := os.Remove(parent); err != nil { // "down --volumes" has removed the rest
			t.Error(err)
		}
	})
	out, said, err := run(t, append([]string{"up", "--port-offset", strconv.Itoa(offset)}, more...)...)
	t.Log(said, out)
	if err != nil {
		t.Fatal(err)
	}
	return meshtest.Running(t)
}

// meesh runs a command of meesh, which must succeed, and gives its data.
func meesh(t *testing.T, args ...string) string {
	t.Helper()
	out, said, err := run(t, args...)
	if err != nil {
		t.Fatalf("meesh %v: %v\n%s%s", args, err, out, said)
	}
	return out
}

func program(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/meesh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs meesh, also when the test has ended.
func run(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}
