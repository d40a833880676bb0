package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"
)

// A State is where a component is in its life.
type State string

// States of components.
const (
	Waiting   State = "waiting"   // for dependencies, or held
	Starting  State = "starting"  // runs, not ready yet
	Running   State = "running"   // a task at work
	Ready     State = "ready"     // a server that serves
	Done      State = "done"      // a task that succeeded
	Unhealthy State = "unhealthy" // a server that was ready and does not serve now
	Backoff   State = "backoff"   // ended or failed; starts again after a pause
	Stopping  State = "stopping"
	Stopped   State = "stopped"
	Failed    State = "failed" // a task that failed too often; the next Reconcile tries again
)

// A Status is what is known of a component at one moment.
type Status struct {
	Name       string    `json:"name"`
	Kind       Kind      `json:"kind"`
	Group      string    `json:"group,omitempty"`
	State      State     `json:"state"`
	Ready      bool      `json:"ready"` // ready or done
	WaitingFor []string  `json:"waitingFor"`
	URL        string    `json:"url"`
	PID        int       `json:"pid"`      // 0 when no process runs
	RSSBytes   int64     `json:"rssBytes"` // of the process and its children; only from Measure
	Since      time.Time `json:"since"`    // of the state
	Failures   int       `json:"failures"` // in a row
	Error      string    `json:"error,omitempty"`
	LogTail    []string  `json:"logTail,omitempty"` // of the run that failed last
}

// A component is one spec being kept running.
type component struct {
	sup  *Supervisor
	spec Spec
	hash string

	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing of it runs any more, or it was let go
	kick   chan struct{} // ends a pause

	orphan *record // what an earlier supervisor left; looked at once

	// Guarded by sup.mu:
	dependsOn []string
	status    Status
}

// Causes of the end of a component's context.
var (
	errStop    = errors.New("stop")
	errStopAll = fmt.Errorf("%w all", errStop)
	errDetach  = errors.New("detach")
)

// set changes the status and, if that makes a difference, tells everybody who
// watches.
func (c *component) set(state State, change func(*Status)) {
	c.sup.mu.Lock()
	defer c.sup.mu.Unlock()
	before := c.status
	c.status.State = state
	c.status.Ready = state == Ready || state == Done
	if change != nil {
		change(&c.status)
	}
	if before.State != state {
		c.status.Since = time.Now().UTC()
		c.sup.log.Info("component", "name", c.spec.Name, "state", state, "pid", c.status.PID, "error", c.status.Error)
	}
	if !reflect.DeepEqual(before, c.status) {
		c.sup.changed()
	}
}

// run keeps the component running until ctx ends.
func (c *component) run(ctx context.Context) {
	defer close(c.done)
	if c.spec.Kind == Task {
		c.runTask(ctx)
	} else {
		c.runServer(ctx)
	}
	if errors.Is(context.Cause(ctx), errDetach) {
		return
	}
	if err := removeRecord(c.sup.dir, c.spec.Name); err != nil {
		c.sup.log.Error("remove process record", "name", c.spec.Name, "error", err)
	}
	c.set(Stopped, func(s *Status) { s.PID = 0 })
}

func (c *component) runServer(ctx context.Context) {
	pause := c.sup.timing.pause()
	p := c.takeOver(ctx)
	for ctx.Err() == nil {
		offset := logSize(c.spec.Log)
		if p == nil {
			var err error
			if !c.await(ctx) {
				return
			}
			if p, err = c.launch(ctx, Starting); err != nil {
				if c.fail(ctx, fmt.Errorf("start: %w", err), offset) {
					c.pause(ctx, pause.next())
				}
				continue
			}
		}
		healthy, err := c.attend(ctx, p)
		p = nil
		if healthy {
			pause = c.sup.timing.pause()
		}
		if c.fail(ctx, err, offset) {
			c.pause(ctx, pause.next())
		}
	}
}

func (c *component) runTask(ctx context.Context) {
	// A task of an earlier supervisor is let finish: breaking off a migration
	// would do more harm than waiting. Then it runs once more, because how it
	// ended is not known.
	if p := c.takeOver(ctx); p != nil {
		c.set(Running, func(s *Status) { s.PID = p.pid })
		select {
		case <-p.exited:
		case <-ctx.Done():
			c.end(ctx, p, false)
			return
		}
	}
	pause := c.sup.timing.pause()
	for failures := 0; ; {
		if !c.await(ctx) {
			return
		}
		offset := logSize(c.spec.Log)
		p, err := c.launch(ctx, Running)
		if err == nil {
			select {
			case <-p.exited:
				err = p.err
			case <-ctx.Done():
				c.end(ctx, p, false)
				return
			}
		}
		if err == nil {
			c.set(Done, func(s *Status) { s.PID, s.Failures, s.Error, s.LogTail = 0, 0, "", nil })
			<-ctx.Done()
			return
		}
		if !c.fail(ctx, err, offset) {
			return
		}
		// A task that failed because its database went away is not at fault.
		if len(c.sup.unready(c)) > 0 {
			continue
		}
		if failures++; failures < c.sup.timing.TaskAttempts {
			c.pause(ctx, pause.next())
			continue
		}
		c.forget()
		c.set(Failed, nil)
		select {
		case <-c.kick:
			failures, pause = 0, c.sup.timing.pause()
		case <-ctx.Done():
			return
		}
	}
}

// takeOver returns the process that an earlier supervisor started and that
// matches the spec; one that does not match it ends. Nil when there is none.
func (c *component) takeOver(ctx context.Context) *process {
	r := c.orphan
	if r == nil {
		return nil
	}
	c.orphan = nil
	p, ok, err := adopt(r.PID, r.Start, r.Since)
	if err != nil {
		c.sup.log.Error("take over", "name", c.spec.Name, "error", err)
	}
	if !ok || err != nil {
		return nil
	}
	if r.Hash == c.hash || c.spec.Kind == Task {
		c.sup.log.Info("took over", "name", c.spec.Name, "pid", p.pid)
		return p
	}
	c.set(Stopping, func(s *Status) { s.PID = p.pid })
	p.stop(r.Signal, r.Grace)
	c.set(Waiting, func(s *Status) { s.PID = 0 })
	return nil
}

// await waits until the dependencies are ready; false when ctx ended before.
func (c *component) await(ctx context.Context) bool {
	if c.spec.Hold != "" {
		c.set(Waiting, func(s *Status) { s.PID, s.WaitingFor = 0, []string{c.spec.Hold} })
		<-ctx.Done()
		return false
	}
	for {
		changed := c.sup.watch()
		missing := c.sup.unready(c)
		if len(missing) == 0 {
			return ctx.Err() == nil
		}
		c.set(Waiting, func(s *Status) { s.PID, s.WaitingFor = 0, missing })
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// launch starts the program.
func (c *component) launch(ctx context.Context, state State) (*process, error) {
	c.set(state, func(s *Status) { s.PID, s.WaitingFor = 0, []string{} })
	if c.spec.Prepare != nil {
		prepareCtx, cancel := context.WithTimeout(ctx, c.spec.startTimeout())
		err := c.spec.Prepare(prepareCtx)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	p, err := start(c.spec, c.hash, c.sup.dir)
	if err != nil {
		return nil, err
	}
	c.set(state, func(s *Status) { s.PID = p.pid })
	return p, nil
}

// attend watches over a running server until it has ended, which it brings
// about when the server does not answer or ctx ends. healthy tells whether it
// had been ready for long enough to forget earlier failures.
func (c *component) attend(ctx context.Context, p *process) (healthy bool, err error) {
	t := c.sup.timing
	c.set(Starting, func(s *Status) { s.PID, s.WaitingFor = p.pid, []string{} })
	deadline := time.NewTimer(c.spec.startTimeout())
	defer deadline.Stop()
	interval := t.FirstProbe
	var ready bool
	var readySince time.Time
	var misses int
	var last error
	for {
		result := c.probe(ctx, p, ready)
		select {
		case <-p.exited:
			return ready && time.Since(readySince) >= t.HealthyAfter, exitError(p.err)
		case <-ctx.Done():
			c.end(ctx, p, ready)
			return false, nil
		case r := <-result:
			if ctx.Err() != nil { // that is why the probe failed, if it did
				c.end(ctx, p, ready)
				return false, nil
			}
			last = r.err
			switch {
			case r.err == nil:
				if !ready {
					ready, readySince = true, time.Now()
				}
				misses = 0
				c.set(Ready, func(s *Status) {
					s.WaitingFor, s.Error = []string{}, ""
					if time.Since(readySince) >= t.HealthyAfter {
						s.Failures, s.LogTail = 0, nil
					}
				})
			case ready:
				missing := c.sup.unready(c)
				c.set(Unhealthy, func(s *Status) { s.WaitingFor, s.Error = missing, r.err.Error() })
				misses++
				if r.alive {
					misses = 0
				}
			}
		}
		if misses >= t.ProbeFailures {
			healthy := time.Since(readySince) >= t.HealthyAfter
			c.end(ctx, p, ready)
			return healthy, fmt.Errorf("did not answer %d times, ended it: %w", misses, last)
		}
		if ready {
			interval = t.ProbeEvery
		} else {
			interval = min(interval*3/2, t.ProbeEvery)
		}
		timer := time.NewTimer(interval)
		var late <-chan time.Time
		if !ready {
			late = deadline.C
		}
		select {
		case <-timer.C:
		case <-late:
			timer.Stop()
			c.end(ctx, p, ready)
			return false, fmt.Errorf("not ready after %s: %w", c.spec.startTimeout(), last)
		case <-p.exited:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

type probeResult struct {
	err   error // of Ready
	alive bool  // although not ready
}

// probe asks the server whether it is ready and, when it was before and is
// not any more, whether it is alive.
func (c *component) probe(ctx context.Context, p *process, wasReady bool) <-chan probeResult {
	result := make(chan probeResult, 1)
	if c.spec.Ready == nil {
		result <- probeResult{}
		return result
	}
	timeout := cmp.Or(c.spec.ProbeTimeout, c.sup.timing.ProbeTimeout)
	go func() {
		ask := func(check Check) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return check(ctx)
		}
		r := probeResult{err: ask(c.spec.Ready)}
		if r.err != nil && wasReady && c.spec.Alive != nil {
			r.alive = ask(c.spec.Alive) == nil
		}
		result <- r
	}()
	return result
}

// end stops the process, unless the component is only let go. wasReady tells
// that it may have work to finish.
func (c *component) end(ctx context.Context, p *process, wasReady bool) {
	if errors.Is(context.Cause(ctx), errDetach) {
		return
	}
	c.set(Stopping, nil)
	// When all of it ends there is nobody to finish work for.
	cause := context.Cause(ctx)
	if c.spec.Drain != nil && wasReady && errors.Is(cause, errStop) && !errors.Is(cause, errStopAll) {
		c.drain(ctx, p)
	}
	p.stop(c.spec.stopSignal(), c.spec.stopGrace())
}

// drain waits for the server to end by itself after it was asked to.
func (c *component) drain(ctx context.Context, p *process) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.spec.DrainGrace)
	defer cancel()
	if err := c.spec.Drain(ctx); err != nil {
		c.sup.log.Warn("drain", "name", c.spec.Name, "error", err)
		return
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		c.sup.log.Warn("drain", "name", c.spec.Name, "error", "it has not ended in time")
	}
}

// fail notes what went wrong; false when ctx has ended and nothing did.
func (c *component) fail(ctx context.Context, err error, logOffset int64) bool {
	if ctx.Err() != nil {
		return false
	}
	if err := removeRecord(c.sup.dir, c.spec.Name); err != nil {
		c.sup.log.Error("remove process record", "name", c.spec.Name, "error", err)
	}
	tail := logTail(c.spec.Log, logOffset)
	c.set(Backoff, func(s *Status) {
		s.PID, s.Error, s.LogTail = 0, err.Error(), tail
		s.Failures++
	})
	return true
}

// pause waits before the next try.
func (c *component) pause(ctx context.Context, d time.Duration) {
	c.forget()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.kick:
	case <-ctx.Done():
	}
}

// forget drops a kick that came when there was nothing to wake.
func (c *component) forget() {
	select {
	case <-c.kick:
	default:
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("ended by itself with exit status 0")
	}
	return err
}

func logSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// logTail returns the last lines written to the log since offset.
func logTail(name string, offset int64) []string {
	const maxLines, maxBytes = 15, 8 << 10
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	size := logSize(name)
	if offset > size {
		offset = 0 // rotated since
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(offset, size-maxBytes), maxBytes))
	if err != nil {
		return nil
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-maxLines):]
}
