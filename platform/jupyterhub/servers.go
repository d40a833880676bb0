package jupyterhub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/supervise"
)

// ServerVariable is in the environment of all processes of a person's server:
// "alex@" and what marks the mesh.
const ServerVariable = "MESH_NOTEBOOK_SERVER"

// A Server is one person's notebook server that runs, with its kernels.
type Server struct {
	Person string
	PID    int
	Memory int64 // bytes, of all its processes
}

// Servers finds the notebook servers of the mesh that is known by mark. Those of
// a mesh that root started only root can find.
func Servers(mark string) ([]Server, error) {
	found, err := supervise.Marked(ServerVariable, "@"+mark)
	if err != nil {
		return nil, fmt.Errorf("look for notebook servers: %w", err)
	}
	memory := supervise.Resident(slices.Collect(maps.Keys(found)))
	var all []Server
	for pid, person := range found {
		all = append(all, Server{person, pid, memory[pid]})
	}
	slices.SortFunc(all, func(a, b Server) int { return a.PID - b.PID })
	return all, nil
}

// StopServers ends all notebook servers of the mesh, politely first, and returns
// how many there were.
func StopServers(ctx context.Context, mark string, grace time.Duration) (int, error) {
	stopped := map[int]bool{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		servers, err := Servers(mark)
		if err != nil || len(servers) == 0 {
			return len(stopped), err
		}
		for _, s := range servers {
			sig := unix.SIGTERM
			if time.Since(begin) > grace {
				sig = unix.SIGKILL
			} else if stopped[s.PID] {
				continue
			}
			stopped[s.PID] = true
			if err := unix.Kill(s.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				return len(stopped), fmt.Errorf("stop the notebook server of %s: %w", s.Person, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return len(stopped), ctx.Err()
		}
	}
}
