package jupyterhub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// StopServers ends the notebook servers of the mesh, or only those of one person
// unless that is empty, politely first, and returns how many there were.
func StopServers(ctx context.Context, mark, person string, grace time.Duration) (int, error) {
	stopped := map[int]bool{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		servers, err := Servers(mark)
		if person != "" {
			servers = slices.DeleteFunc(servers, func(s Server) bool { return s.Person != person })
		}
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

// UserOf is the user id that a process runs under; -1 when it has several.
func UserOf(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		text, ok := strings.CutPrefix(line, "Uid:")
		if !ok {
			continue
		}
		ids := strings.Fields(text) // real, effective, saved, of the file system
		if len(ids) != 4 || len(slices.Compact(ids)) != 1 {
			return -1, nil
		}
		return strconv.Atoi(ids[0])
	}
	return 0, fmt.Errorf("/proc/%d/status names no user", pid)
}

// OfUsers lists the processes that run under the user ids first to last.
func OfUsers(first, last int) ([]int, error) {
	running, err := supervise.PIDs()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(running, func(pid int) bool {
		uid, err := UserOf(pid)
		return err != nil || uid < first || uid > last // ended since, or another's
	}), nil
}

// EndUsers ends all processes of the user ids first to last, politely first, and
// returns how many there were. kill sends a signal; one to a process that has ended is no error.
func EndUsers(ctx context.Context, first, last int, grace time.Duration, kill func(pid int, sig syscall.Signal) error) (int, error) {
	ended := map[int]bool{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		pids, err := OfUsers(first, last)
		if err != nil || len(pids) == 0 {
			return len(ended), err
		}
		hard := time.Since(begin) > grace
		if hard { // what has stopped makes no further ones
			for _, pid := range pids {
				if err := kill(pid, syscall.SIGSTOP); err != nil {
					return len(ended), err
				}
			}
		}
		for _, pid := range pids {
			sig := syscall.SIGTERM
			if hard {
				sig = syscall.SIGKILL
			} else if ended[pid] {
				continue
			}
			ended[pid] = true
			if err := kill(pid, sig); err != nil {
				return len(ended), err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return len(ended), ctx.Err()
		}
	}
}
