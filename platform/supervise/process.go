package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A record says which process runs a component. It outlives the supervisor,
// so that the next one finds what a killed one left behind.
type record struct {
	Component string         `json:"component"`
	Kind      Kind           `json:"kind"`
	Hash      string         `json:"hash"`
	PID       int            `json:"pid"`
	Start     uint64         `json:"start"` // with Boot, tells the process from a later one of the same number
	Boot      string         `json:"boot"`
	Signal    syscall.Signal `json:"signal"`
	Grace     time.Duration  `json:"grace"`
	Since     time.Time      `json:"since"`
}

const recordSuffix = ".process.json"

func recordFile(dir, component string) string {
	return filepath.Join(dir, component+recordSuffix)
}

func writeRecord(dir string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := recordFile(dir, r.Component) + ".new"
	if err := os.WriteFile(temp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, recordFile(dir, r.Component))
}

func removeRecord(dir, component string) error {
	err := os.Remove(recordFile(dir, component))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readRecords returns the records in dir of processes that still run, and
// removes the others.
func readRecords(dir string) ([]record, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var live []record
	for _, e := range entries {
		component, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", e.Name(), err)
		}
		if r.Boot == boot && is(r.PID, r.Start) {
			live = append(live, r)
		} else if err := removeRecord(dir, component); err != nil {
			return nil, err
		}
	}
	return live, nil
}

// Recorded lists the components whose processes run according to the records
// in dir, with their process ids, whether a supervisor runs or not.
func Recorded(dir string) (map[string]int, error) {
	records, err := readRecords(dir)
	if err != nil {
		return nil, fmt.Errorf("read process records: %w", err)
	}
	pids := map[string]int{}
	for _, r := range records {
		pids[r.Component] = r.PID
	}
	return pids, nil
}

// A process is one run of a component: a child of ours, or one that an
// earlier supervisor started.
type process struct {
	pid    int
	since  time.Time
	signal func(os.Signal) error
	exited chan struct{} // closed when it has ended
	err    error         // how it ended; set before exited is closed
}

// errEnded says that a process ended of which we are not the parent: its exit
// status cannot be known.
var errEnded = errors.New("ended; its exit status is not known, an earlier supervisor had started it")

// start runs the program of the spec and records it in dir.
func start(s Spec, hash, dir string) (*process, error) {
	log, err := os.OpenFile(s.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	path, args, err := s.command()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...) //nolint:noctx // it outlives every context, and us
	cmd.Env = append([]string{marker(s.Name, dir)}, s.Env...)
	cmd.Dir = s.Dir
	// The process writes to the file itself, not through us, so that it
	// survives us.
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: a signal to ours must not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: s.Nice == 0, Setsid: s.Nice > 0}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, since: time.Now(), signal: cmd.Process.Signal, exited: make(chan struct{})}
	boot, err := bootID()
	if err == nil {
		var stat procStat
		// Nobody has waited for it yet, so it is there even if it has ended.
		if stat, err = readStat(p.pid); err == nil {
			err = writeRecord(dir, record{s.Name, s.Kind, hash, p.pid, stat.Start, boot, s.stopSignal(), s.stopGrace(), p.since})
		}
	}
	if err == nil && s.Nice > 0 { // after the record: it may take a moment
		err = niceSession(p.pid, s.Nice)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err != nil {
		p.stop(syscall.SIGKILL, 0)
		return nil, fmt.Errorf("take the process under supervision: %w", err)
	}
	return p, nil
}

// command is what start runs: the program, through nice(1) if it is to give way.
func (s Spec) command() (path string, args []string, err error) {
	if s.Nice == 0 {
		return s.Path, s.Args, nil
	}
	if path, err = exec.LookPath("nice"); err != nil {
		return "", nil, fmt.Errorf("%s: %w; it is part of every Linux (package coreutils)", s.Name, err)
	}
	return path, append([]string{"-n", strconv.Itoa(s.Nice), s.Path}, s.Args...), nil
}

// niceSession has the session of the process give way to other sessions. A kernel
// that shares processors between sessions first (sched(7), autogroup) would
// otherwise count nice within the session alone: what Trino takes would be taken
// from the services, which are of the supervisor's session, and PostgreSQL, each
// of whose connections is a session of its own, would get no more than Trino.
func niceSession(pid, nice int) error {
	for {
		err := os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(nice)), 0)
		switch {
		case errors.Is(err, syscall.EAGAIN): // the kernel lets ordinary users do it ten times a second
			time.Sleep(50 * time.Millisecond)
			continue
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // a kernel without shares of sessions, or the process has ended
			return nil
		case err != nil:
			return fmt.Errorf("lower the priority of the session: %w", err)
		}
		return nil
	}
}

// adopt takes over a running process. ok is false when it has ended since.
func adopt(pid int, startTime uint64, since time.Time) (p *process, ok bool, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("take over process %d: %w", pid, err)
	}
	// Looked at after the descriptor was opened: from here on it cannot come
	// to mean another process.
	if !is(pid, startTime) {
		_ = unix.Close(fd)
		return nil, false, nil
	}
	p = &process{pid: pid, since: since, exited: make(chan struct{}), err: errEnded}
	p.signal = func(sig os.Signal) error {
		select {
		case <-p.exited:
			return os.ErrProcessDone
		default:
			return unix.PidfdSendSignal(fd, sig.(syscall.Signal), nil, 0)
		}
	}
	go func() {
		// The descriptor stays open: signal may be using it.
		defer close(p.exited)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return p, true, nil
}

// stop ends the process: sig, then after grace SIGKILL. It returns when the
// process has ended.
func (p *process) stop(sig syscall.Signal, grace time.Duration) {
	// An error means that it has ended already.
	_ = p.signal(sig)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return
	case <-timer.C:
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.exited
}
