// Package meshrun starts whole meshes for tests and benchmarks.
package meshrun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/state"
)

// patience is how long one run of meesh may take on a slow and busy machine.
const patience = 20 * time.Minute

// A Mesh of the full profile in a folder and on ports of its own.
type Mesh struct {
	Home state.Dir

	program string
	guard   *exec.Cmd // removes the mesh when this process lets go of it
	life    io.Closer
	said    *os.File
}

// Up starts a mesh with the programs that "make build" has built into bin; more are
// arguments of "meesh up". The mesh is to be removed by Down, also after an error
// that comes with a mesh.
func Up(ctx context.Context, bin string, more ...string) (*Mesh, error) {
	program, err := filepath.Abs(filepath.Join(bin, "meesh"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w; run: make build", err)
	}
	offset, err := freeport.Offset(func(offset int) map[int]string {
		return local.Ports(state.Mesh{PortOffset: offset, Profile: state.ProfileFull})
	})
	if err != nil {
		return nil, err
	}
	parent, err := os.MkdirTemp("", "meesh-")
	if err != nil {
		return nil, err
	}
	m := &Mesh{Home: state.Dir(filepath.Join(parent, "mesh")), program: program}
	// Under root the servers' account must be able to enter.
	if err := os.Chmod(parent, 0o755); err != nil {
		return nil, errors.Join(err, os.Remove(parent))
	}
	if err := m.watchOver(parent); err != nil {
		return nil, errors.Join(err, os.Remove(parent))
	}
	_, err = m.Run(ctx, append([]string{"up", "--port-offset", strconv.Itoa(offset)}, more...)...)
	return m, err
}

// Run runs a command of meesh and gives its data. An error holds the end of what else
// it said.
func (m *Mesh) Run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.program, args...)
	cmd.Env = append(os.Environ(), state.HomeVariable+"="+string(m.Home))
	cmd.Dir = "/"
	// A group of its own: Ctrl-C is for the caller, who then removes the mesh.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return out.String(), fmt.Errorf("meesh %s: %w\n%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	return out.String(), nil
}

// Port is where the mesh has the port of the topology.
func (m *Mesh) Port(port int) (int, error) {
	mesh, err := state.Load(m.Home)
	return mesh.Port(port), err
}

// watchOver starts a process that removes the mesh when this one is gone, also when it
// was killed or ran out of time.
func (m *Mesh) watchOver(parent string) (err error) {
	// A file, as a pipe to a process that was killed would end the guard.
	if m.said, err = os.CreateTemp("", "meesh-guard-"); err != nil {
		return err
	}
	if err := os.Remove(m.said.Name()); err != nil {
		return err
	}
	// Not rm: what is left is an error.
	m.guard = exec.Command("/bin/sh", "-c", `read -r _; "$1" down --volumes && rmdir "$2"`, "sh", m.program, parent) //nolint:noctx // it outlives this process
	m.guard.Env = append(os.Environ(), state.HomeVariable+"="+string(m.Home))
	m.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for the caller
	m.guard.Stdout, m.guard.Stderr = m.said, m.said
	if m.life, err = m.guard.StdinPipe(); err != nil {
		return err
	}
	return m.guard.Start()
}

// Down removes the mesh and all that it made.
func (m *Mesh) Down() error {
	closeErr := m.life.Close()
	err := m.guard.Wait()
	if err != nil {
		text := make([]byte, 4096)
		n, _ := m.said.ReadAt(text, 0) // ends at the end of the file
		err = fmt.Errorf("remove the mesh in %s: %w\n%s", m.Home, err, text[:n])
	}
	return errors.Join(closeErr, err, m.said.Close())
}

// Running is a mesh that somebody else has started, with the programs in bin; it is
// not to be removed.
func Running(bin string, home state.Dir) (*Mesh, error) {
	program, err := filepath.Abs(filepath.Join(bin, "meesh"))
	if err != nil {
		return nil, err
	}
	_, err = state.Load(home)
	return &Mesh{Home: home, program: program}, err
}
