package tour

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

func walk(t *testing.T, ailing Ailing, steps ...Step) ([]Result, error) {
	t.Helper()
	var results []Result
	closed := false
	tour := Tour{Name: "test", Steps: steps, Close: func(context.Context) error { closed = true; return nil }}
	err := tour.Run(t.Context(), ailing, func(Step) {}, func(r Result) { results = append(results, r) })
	if !closed && len(steps) > 0 {
		t.Error("what the steps began was not ended")
	}
	return results, err
}

func allReady(context.Context) (map[string]string, error) { return nil, nil }

func TestTourStopsAtTheFirstFailure(t *testing.T) {
	ok := func(context.Context) (string, error) { return "found", nil }
	wrong := func(context.Context) (string, error) { return "", same("rows", 44, 45) }
	results, err := walk(t, allReady, Step{"09:00", "one", nil, ok}, Step{"09:30", "two", []string{"trino", "hub"}, wrong}, Step{"10:00", "three", nil, ok})
	if len(results) != 2 || results[0].Found != "found" || results[0].Err != nil {
		t.Errorf("%+v", results)
	}
	failed, isStep := errors.AsType[*StepError](err)
	if !isStep || failed.Component != "trino" || err.Error() != `"two" failed, at trino: rows: found 44, expected 45` {
		t.Errorf("%v", err)
	}
	if _, err := walk(t, allReady); err == nil || !strings.Contains(err.Error(), "no steps") {
		t.Errorf("a tour without steps: %v", err)
	}
}

func TestTourNamesTheBrokenComponent(t *testing.T) {
	down := func(c string) Ailing {
		return func(context.Context) (map[string]string, error) {
			return map[string]string{c: "unhealthy (no answer)", "other": "backoff"}, nil
		}
	}
	never := func(context.Context) (string, error) { t.Error("was tried"); return "", nil }
	_, err := walk(t, down("store"), Step{"09:00", "one", []string{"trino", "store"}, never})
	if failed, ok := errors.AsType[*StepError](err); !ok || failed.Component != "store" || failed.State == "" {
		t.Errorf("before the step: %v", err)
	}

	// It breaks while the step waits for it: the step does not wait till its end.
	begun := make(chan struct{})
	breaks := func(context.Context) (map[string]string, error) {
		select {
		case <-begun:
			return map[string]string{"trino": "unhealthy"}, nil
		default:
			return nil, nil
		}
	}
	hangs := func(ctx context.Context) (string, error) { close(begun); <-ctx.Done(); return "", ctx.Err() }
	start := time.Now()
	_, err = walk(t, breaks, Step{"09:00", "one", []string{"hub", "trino"}, hangs})
	if failed, ok := errors.AsType[*StepError](err); !ok || failed.Component != "trino" || time.Since(start) > time.Minute {
		t.Errorf("during the step: %v", err)
	}

	// The supervisor notices after the step has failed.
	failedAt := make(chan struct{})
	late := func(context.Context) (map[string]string, error) {
		select {
		case <-failedAt:
			return map[string]string{"hub": "backoff"}, nil
		default:
			return nil, nil
		}
	}
	fails := func(context.Context) (string, error) { close(failedAt); return "", errors.New("connection refused") }
	_, err = walk(t, late, Step{"09:00", "one", []string{"trino", "hub"}, fails})
	if err == nil || err.Error() != `"one" failed, because hub is backoff: connection refused` {
		t.Errorf("after the step: %v", err)
	}
}

func TestTourEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(ctx context.Context) (string, error) { cancel(); <-ctx.Done(); return "", ctx.Err() }
	err := Tour{Steps: []Step{{"09:00", "one", []string{"trino"}, waits}}}.Run(ctx, allReady, func(Step) {}, func(Result) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// The components that steps name are those of the topology's ports and servers.
func TestStepsNameWhatTheyNeed(t *testing.T) {
	tour := DataScientist(Mesh{state.Mesh{}, &secrets.Store{}})
	if len(tour.Steps) != 7 {
		t.Errorf("%d steps", len(tour.Steps))
	}
	for _, s := range tour.Steps {
		if len(s.Needs) == 0 || s.At == "" || s.Run == nil {
			t.Errorf("step %q: %+v", s.Name, s)
		}
	}
}

func TestPictureMustShowSomething(t *testing.T) {
	// One white pixel.
	const blank = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
	if _, err := drawn(blank); err == nil {
		t.Error("a blank picture passes")
	}
	if _, err := drawn("###"); err == nil {
		t.Error("no base64 passes")
	}
}
