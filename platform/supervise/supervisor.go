package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Timing says how patient the supervisor is.
type Timing struct {
	FirstProbe    time.Duration // between the first two probes of a starting server; grows to ProbeEvery
	ProbeEvery    time.Duration
	ProbeTimeout  time.Duration
	ProbeFailures int           // in a row, after which a server that was ready is restarted
	MinPause      time.Duration // before the first restart; doubles with each
	MaxPause      time.Duration
	HealthyAfter  time.Duration // ready for so long, earlier failures are forgotten
	TaskAttempts  int
	RotateEvery   time.Duration
	RotateAt      int64 // bytes of a log file
}

// DefaultTiming suits servers on a busy small machine: one that answers
// nothing for about half a minute is restarted.
var DefaultTiming = Timing{
	FirstProbe:    50 * time.Millisecond,
	ProbeEvery:    2 * time.Second,
	ProbeTimeout:  5 * time.Second,
	ProbeFailures: 5,
	MinPause:      250 * time.Millisecond,
	MaxPause:      30 * time.Second,
	HealthyAfter:  30 * time.Second,
	TaskAttempts:  4,
	RotateEvery:   10 * time.Second,
	RotateAt:      16 << 20,
}

// pause returns the growing pauses between tries.
func (t Timing) pause() *pauses { return &pauses{t.MinPause, t.MaxPause} }

type pauses struct{ following, longest time.Duration }

func (p *pauses) next() time.Duration {
	d := p.following
	p.following = min(p.following*2, p.longest)
	return d
}

// A Supervisor keeps components running. Make one with New.
type Supervisor struct {
	dir    string
	timing Timing
	log    *slog.Logger

	reconciling sync.Mutex // held by whoever adds or removes components

	mu         sync.Mutex
	components []*component // in the order of the specs
	byName     map[string]*component
	change     chan struct{} // closed and replaced at every change
	ended      bool

	adopted    bool // orphans have been looked for
	stopRotate func()
}

// New makes a supervisor without components. dir holds the records of its
// processes: a later supervisor with the same dir finds them. Only one may use
// a dir at a time.
func New(dir string, timing Timing, log *slog.Logger) *Supervisor {
	s := &Supervisor{
		dir: dir, timing: timing, log: log,
		byName: map[string]*component{},
		change: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	rotated := make(chan struct{})
	go func() {
		defer close(rotated)
		s.rotate(ctx)
	}()
	s.stopRotate = func() { cancel(); <-rotated }
	return s
}

// Changes tells what a Reconcile did, by component name.
type Changes struct {
	Started   []string `json:"started"`   // had not been there
	Restarted []string `json:"restarted"` // were there with another hash
	Stopped   []string `json:"stopped"`   // are not wanted any more
	Unchanged []string `json:"unchanged"`
}

// held is the hash of a component that is kept from starting.
const held = "held"

// ErrEnded tells that Stop or Detach came before.
var ErrEnded = errors.New("the supervisor has ended")

// Reconcile makes specs the components to be kept running. Those whose program,
// arguments, environment and files are the same go on undisturbed; components
// that pause after a failure try again at once. It returns when what had to stop has
// stopped; the rest happens in the background.
func (s *Supervisor) Reconcile(specs []Spec) (Changes, error) {
	s.reconciling.Lock()
	defer s.reconciling.Unlock()
	if s.ended {
		return Changes{}, ErrEnded
	}
	if err := check(specs); err != nil {
		return Changes{}, err
	}
	hashes := map[string]string{}
	for _, spec := range specs {
		if spec.Hold != "" {
			hashes[spec.Name] = held // its files may be what is missing
			continue
		}
		h, err := spec.hash()
		if err != nil {
			return Changes{}, fmt.Errorf("component %s: %w", spec.Name, err)
		}
		hashes[spec.Name] = h
	}
	orphans, err := s.orphans(hashes)
	if err != nil {
		return Changes{}, err
	}

	changes := Changes{Started: []string{}, Restarted: []string{}, Stopped: []string{}, Unchanged: []string{}}
	var ending []*component
	for _, c := range s.components {
		switch h, wanted := hashes[c.spec.Name]; {
		case !wanted:
			changes.Stopped = append(changes.Stopped, c.spec.Name)
			ending = append(ending, c)
		case h != c.hash && c.hash == held:
			changes.Started = append(changes.Started, c.spec.Name)
			ending = append(ending, c)
		case h != c.hash:
			changes.Restarted = append(changes.Restarted, c.spec.Name)
			ending = append(ending, c)
		default:
			changes.Unchanged = append(changes.Unchanged, c.spec.Name)
		}
	}
	s.end(ending, errStop)

	s.mu.Lock()
	old := s.byName
	s.components, s.byName = nil, map[string]*component{}
	var starting []*component
	for _, spec := range specs {
		c, kept := old[spec.Name]
		kept = kept && !slices.Contains(ending, c)
		if kept {
			c.status.Group, c.status.URL, c.dependsOn = spec.Group, spec.URL, spec.DependsOn
			select {
			case c.kick <- struct{}{}:
			default:
			}
		} else {
			if _, restarted := old[spec.Name]; !restarted {
				changes.Started = append(changes.Started, spec.Name)
			}
			c = &component{
				sup: s, spec: spec, hash: hashes[spec.Name],
				done: make(chan struct{}), kick: make(chan struct{}, 1),
				orphan: orphans[spec.Name], dependsOn: spec.DependsOn,
				status: Status{
					Name: spec.Name, Kind: spec.Kind, Group: spec.Group, URL: spec.URL,
					State: Waiting, WaitingFor: []string{}, Since: time.Now().UTC(),
				},
			}
			starting = append(starting, c)
		}
		s.components = append(s.components, c)
		s.byName[spec.Name] = c
	}
	s.changed()
	s.mu.Unlock()
	for _, c := range starting {
		ctx, cancel := context.WithCancelCause(context.Background())
		c.cancel = cancel
		go c.run(ctx)
	}
	return changes, nil
}

// orphans finds, at the first call, what an earlier supervisor left behind. It ends
// what nobody wants and returns the rest by component.
func (s *Supervisor) orphans(wanted map[string]string) (map[string]*record, error) {
	if s.adopted {
		return nil, nil
	}
	records, err := readRecords(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read process records: %w", err)
	}
	// The predecessor may have been killed between starting a process and
	// recording it.
	found, err := marked(s.dir)
	if err != nil {
		return nil, fmt.Errorf("look for processes of an earlier supervisor: %w", err)
	}
	for p, component := range found {
		if !slices.ContainsFunc(records, func(r record) bool { return r.PID == p.PID && r.Start == p.Start }) {
			// The empty hash matches no spec, so it will be ended.
			records = append(records, record{Component: component, PID: p.PID, Start: p.Start, Signal: syscall.SIGTERM, Grace: 10 * time.Second})
		}
	}
	keep := map[string]*record{}
	var ending sync.WaitGroup
	for _, r := range records {
		_, known := wanted[r.Component]
		if known && r.Hash != "" && keep[r.Component] == nil {
			keep[r.Component] = &r
			continue
		}
		ending.Go(func() {
			p, ok, err := adopt(r.PID, r.Start, r.Since)
			if err != nil {
				s.log.Error("end process of an earlier supervisor", "name", r.Component, "pid", r.PID, "error", err)
			}
			if ok && err == nil {
				s.log.Info("ending process of an earlier supervisor", "name", r.Component, "pid", r.PID)
				p.stop(r.Signal, r.Grace)
			}
		})
	}
	ending.Wait()
	s.adopted = true
	return keep, nil
}

// Stop ends all components, those that others depend on last, and returns
// when they have ended. Nothing starts afterwards.
func (s *Supervisor) Stop() { s.finish(errStopAll) }

// Detach lets all processes go on without a supervisor; a later one with the
// same dir takes them over.
func (s *Supervisor) Detach() { s.finish(errDetach) }

func (s *Supervisor) finish(cause error) {
	s.reconciling.Lock()
	defer s.reconciling.Unlock()
	s.ended = true
	s.end(s.components, cause)
	s.stopRotate()
}

// end ends the components, each after those among them that depend on it.
func (s *Supervisor) end(ending []*component, cause error) {
	var all sync.WaitGroup
	for _, c := range ending {
		all.Go(func() {
			if errors.Is(cause, errStop) {
				for _, d := range ending {
					if s.needs(d, c.spec.Name, map[string]bool{}) {
						<-d.done
					}
				}
			}
			c.cancel(cause)
			<-c.done
		})
	}
	all.Wait()
}

// needs tells whether c depends on name, directly or through others; seen
// holds what has been looked at.
func (s *Supervisor) needs(c *component, name string, seen map[string]bool) bool {
	for _, d := range c.dependsOn {
		if d == name {
			return true
		}
		if seen[d] {
			continue
		}
		seen[d] = true
		if next, ok := s.byName[d]; ok && s.needs(next, name, seen) {
			return true
		}
	}
	return false
}

// unready returns those dependencies of c that are not ready.
func (s *Supervisor) unready(c *component) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := []string{}
	for _, n := range c.dependsOn {
		if c, ok := s.byName[n]; !ok || !c.status.Ready {
			missing = append(missing, n)
		}
	}
	return missing
}

// changed wakes all who watch; s.mu is held.
func (s *Supervisor) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

// watch returns a channel that is closed at the next change.
func (s *Supervisor) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change
}

// Status returns the components in the order of their specs, and a channel
// that is closed when something has changed since.
func (s *Supervisor) Status() ([]Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, len(s.components))
	for i, c := range s.components {
		all[i] = c.status
		all[i].WaitingFor = slices.Clone(c.status.WaitingFor)
	}
	return all, s.change
}

// Measure is Status with the memory of each component, which takes a moment
// to find out.
func (s *Supervisor) Measure() []Status {
	all, _ := s.Status()
	var pids []int
	for _, c := range all {
		pids = append(pids, c.PID)
	}
	memory := resident(pids)
	for i := range all {
		all[i].RSSBytes = memory[all[i].PID]
	}
	return all
}

// rotate keeps the log files below a size until ctx ends.
func (s *Supervisor) rotate(ctx context.Context) {
	tick := time.NewTicker(s.timing.RotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		var logs []string
		for _, c := range s.components {
			logs = append(logs, c.spec.Log)
		}
		s.mu.Unlock()
		slices.Sort(logs)
		for _, name := range slices.Compact(logs) {
			if logSize(name) <= s.timing.RotateAt {
				continue
			}
			if err := rotateLog(name); err != nil {
				s.log.Error("rotate log", "file", name, "error", err)
			}
		}
	}
}

// rotateLog moves the content of the log to NAME.1 and empties it. It is
// copied, because the process holds the file open and appends to it; what it writes between
// copy and cut is lost.
func rotateLog(name string) error {
	from, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(name+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return from.Truncate(0)
}

// String describes the changes in one line.
func (c Changes) String() string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"started", c.Started}, {"restarted", c.Restarted}, {"stopped", c.Stopped}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}
