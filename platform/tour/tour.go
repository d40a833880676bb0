// Package tour walks through a person's day in the running mesh, step by step, and checks each step by another way.
package tour

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Tour is one person's day.
type Tour struct {
	Name   string // "data-scientist"
	Person string
	About  string
	Steps  []Step
	// Restarts names the step that itself restarts what it needs: that it is away
	// meanwhile is no fault. Empty for none.
	Restarts string
	// Close ends what the steps have begun; nil for nothing.
	Close func(ctx context.Context) error
}

// A Step of a day. What it finds it compares with what another way gives.
type Step struct {
	At   string // time of day in the seed's document: "09:30"
	Name string
	// Needs names the components that the step cannot do without, the one that is
	// most likely at fault first.
	Needs []string
	// Run does the step and says what it found, in a few words.
	Run func(ctx context.Context) (found string, err error)
}

// A Result is how a step went.
type Result struct {
	Step
	Took  time.Duration
	Found string
	Err   error // *StepError, or the context's
}

// A StepError tells which step failed, and which component is at fault.
type StepError struct {
	Step      string
	Component string
	State     string // what the supervisor says of the component; empty when it calls it ready
	Err       error
}

func (e *StepError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("%q failed, at %s: %v", e.Step, e.Component, e.Err)
	}
	return fmt.Sprintf("%q failed, because %s is %s: %v", e.Step, e.Component, e.State, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Ailing tells of all components that are not ready what is wrong with them.
type Ailing func(ctx context.Context) (map[string]string, error)

const (
	// stepTime is how long a step may take on a busy machine.
	stepTime = 5 * time.Minute
	// lookEvery is how often the needed components are looked at meanwhile: a
	// step would else wait for one that hangs until its time is over.
	lookEvery = 2 * time.Second
	// noticed is how long the supervisor may take to notice that a component that
	// failed a step does not serve.
	noticed = 20 * time.Second
	// missed is how often in a row a component may be found not ready.
	missed = 3
)

// Run takes the steps in their order and stops at the first that fails, whose error
// it returns. begin is told each step before it begins, end after it ended.
func (t Tour) Run(ctx context.Context, ailing Ailing, begin func(Step), end func(Result)) (err error) {
	if t.Close != nil {
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			if closeErr := t.Close(ctx); err == nil {
				err = closeErr
			}
		}()
	}
	if len(t.Steps) == 0 {
		return fmt.Errorf("tour %s has no steps", t.Name)
	}
	for _, s := range t.Steps {
		begin(s)
		r := s.take(ctx, ailing, s.Name == t.Restarts)
		end(r)
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// take does one step while it looks at what the step needs.
func (s Step) take(ctx context.Context, ailing Ailing, restarts bool) Result {
	start := time.Now()
	result := func(found string, err error) Result { return Result{s, time.Since(start), found, err} }
	if component, state, err := s.broken(ctx, ailing); err != nil {
		return result("", err)
	} else if component != "" {
		return result("", &StepError{s.Name, component, state, errors.New("not tried")})
	}
	stepCtx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	type outcome struct {
		found string
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		found, err := s.Run(stepCtx)
		done <- outcome{found, err}
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for misses := 0; ; {
		select {
		case o := <-done:
			if o.err == nil {
				return result(o.found, nil)
			}
			if ctx.Err() != nil {
				return result("", ctx.Err())
			}
			return result("", s.blame(ctx, ailing, o.err))
		case <-tick.C:
		}
		component, state, err := s.broken(ctx, ailing)
		if misses++; err != nil || component == "" || restarts {
			misses = 0
		}
		if misses < missed {
			continue
		}
		cancel()
		o := <-done
		if o.err == nil { // it was just through
			return result(o.found, nil)
		}
		return result("", &StepError{s.Name, component, state, o.err})
	}
}

// broken finds the first component that the step needs and that is not ready.
func (s Step) broken(ctx context.Context, ailing Ailing) (component, state string, err error) {
	sick, err := ailing(ctx)
	if err != nil {
		return "", "", err
	}
	for _, c := range s.Needs {
		if state, ok := sick[c]; ok {
			return c, state, nil
		}
	}
	return "", "", nil
}

// blame finds the component at fault for what went wrong. The supervisor may
// notice later than the step did.
func (s Step) blame(ctx context.Context, ailing Ailing, failure error) error {
	blamed := &StepError{Step: s.Name, Component: strings.Join(s.Needs[:min(1, len(s.Needs))], ""), Err: failure}
	if _, wrong := errors.AsType[*DifferenceError](failure); wrong {
		return blamed // it answered, and falsely
	}
	tick := time.NewTicker(lookEvery / 4)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < noticed; {
		component, state, err := s.broken(ctx, ailing)
		if err == nil && component != "" {
			blamed.Component, blamed.State = component, state
			return blamed
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return blamed
		}
	}
	return blamed
}

// A DifferenceError tells that a step found something else than the other way.
type DifferenceError struct {
	What            string
	Found, Expected string
}

func (e *DifferenceError) Error() string {
	return fmt.Sprintf("%s: found %s, expected %s", e.What, e.Found, e.Expected)
}

// same compares what a step found with what another way gave.
func same(what string, found, expected any) error {
	f, e := fmt.Sprint(found), fmt.Sprint(expected)
	if f != e {
		return &DifferenceError{what, f, e}
	}
	return nil
}
