package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procStat is what /proc/PID/stat says about a process.
type procStat struct {
	PID, Parent int
	State       byte
	Start       uint64 // clock ticks since boot
}

// readStat reads /proc/PID/stat; fs.ErrNotExist when there is no such process.
func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The command name stands in parentheses and may contain anything, so the
	// fields are counted from the last one: state is field 3, start field 22.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procStat{}, fmt.Errorf("/proc/%d/stat: no command name", pid)
	}
	fields := strings.Fields(string(b[i+1:]))
	if len(fields) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return procStat{}, fmt.Errorf("/proc/%d/stat: parent: %w", pid, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("/proc/%d/stat: start time: %w", pid, err)
	}
	return procStat{PID: pid, Parent: parent, State: fields[0][0], Start: start}, nil
}

// running tells whether the process still runs code: one that ended and was
// not waited for has a stat too.
func (s procStat) running() bool { return s.State != 'Z' && s.State != 'X' }

// is tells whether a process of that number runs that began at that time.
func is(pid int, start uint64) bool {
	s, err := readStat(pid)
	return err == nil && s.Start == start && s.running()
}

// bootID tells one boot of the machine from the next: start times count from
// the boot, so a record is worth nothing after it.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// processes lists all processes of the machine that run.
func processes() ([]procStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []procStat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			continue // ended since
		}
		if s.running() {
			all = append(all, s)
		}
	}
	return all, nil
}

// PIDs lists the processes of the machine that run: not those that ended and
// that nobody has waited for.
func PIDs() ([]int, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(all))
	for _, s := range all {
		pids = append(pids, s.PID)
	}
	return pids, nil
}

// marked finds the processes that carry a marker for records in dir and whose
// parent does not: those that a supervisor started, with their component.
func marked(dir string) (map[procStat]string, error) { return carrying(markerName, "@"+dir) }

// Marked finds the processes in whose environment the variable ends in suffix and
// in whose parent's it does not, and what stands before the suffix. Processes of
// others than the caller only root can look into.
func Marked(variable, suffix string) (map[int]string, error) {
	found, err := carrying(variable, suffix)
	byPID := map[int]string{}
	for p, value := range found {
		byPID[p.PID] = value
	}
	return byPID, err
}

func carrying(variable, suffix string) (map[procStat]string, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	values := map[int]string{}
	for _, p := range all {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		if err != nil {
			continue // ended, or another account's and so not ours
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if rest, ok := strings.CutPrefix(string(v), variable+"="); ok {
				if value, ok := strings.CutSuffix(rest, suffix); ok {
					values[p.PID] = value
				}
			}
		}
	}
	found := map[procStat]string{}
	for _, p := range all {
		if values[p.PID] != "" && values[p.Parent] == "" {
			found[p] = values[p.PID]
		}
	}
	return found, nil
}

// markerName is an environment variable by which a process is known for a
// component of ours, also when it could not be recorded.
const markerName = "MEESH_COMPONENT"

func marker(component, dir string) string { return markerName + "=" + component + "@" + dir }

// Using lists the running processes whose working directory is dir: those of
// a server that keeps its data there, also after its main process was killed.
func Using(dir string) ([]int, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range all {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID))
		if err == nil && cwd == dir {
			pids = append(pids, p.PID)
		}
	}
	return pids, nil
}

// Resident is the memory in bytes that each of the processes and its descendants
// hold together, shared memory divided among those who share it.
func Resident(pids []int) map[int]int64 { return resident(pids) }

// resident is the memory in bytes that each of the pids and its descendants
// hold together; memory shared between processes is divided among them, so
// that the sum over all components is what the machine really spends.
func resident(pids []int) map[int]int64 {
	all, err := processes()
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p.PID)
	}
	total := map[int]int64{}
	for _, root := range pids {
		if root == 0 {
			continue
		}
		queue := []int{root}
		for len(queue) > 0 {
			pid := queue[0]
			queue = append(queue[1:], children[pid]...)
			total[root] += proportional(pid)
		}
	}
	return total
}

// proportional reads the process's share of the memory; 0 when it has ended.
func proportional(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kb * 1024
		}
	}
	return 0
}
