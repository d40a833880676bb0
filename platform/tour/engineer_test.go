package tour

import (
	"context"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

func TestEngineerStepsNameWhatTheyNeed(t *testing.T) {
	tour := Engineer(Mesh{state.Mesh{}, &secrets.Store{}}, nil)
	restarts := false
	for _, s := range tour.Steps {
		if len(s.Needs) == 0 || s.At == "" || s.Run == nil {
			t.Errorf("step %q: %+v", s.Name, s)
		}
		restarts = restarts || s.Name == tour.Restarts
	}
	if len(tour.Steps) != 10 || !restarts {
		t.Errorf("%d steps, of which one is %q: %v", len(tour.Steps), tour.Restarts, restarts)
	}
}

// What a step restarts itself may be away while it runs.
func TestStepMayRestartWhatItNeeds(t *testing.T) {
	begun := make(chan struct{})
	away := func(context.Context) (map[string]string, error) {
		select {
		case <-begun:
			return map[string]string{"trino": "starting"}, nil
		default:
			return nil, nil
		}
	}
	restarting := func(ctx context.Context) (string, error) {
		close(begun)
		select {
		case <-time.After((missed + 1) * lookEvery): // as long as would fail another step
			return "restarted", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	step := Step{At: "10:00", Name: "restart", Needs: []string{"trino"}, Run: restarting}
	err := Tour{Steps: []Step{step}, Restarts: "restart"}.Run(t.Context(), away, func(Step) {}, func(Result) {})
	if err != nil {
		t.Error(err)
	}
}
