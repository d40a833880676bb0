package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// newFolder lies deeper than the path of a unix socket may be long.
func newFolder(t *testing.T) state.Dir {
	t.Helper()
	d := state.Dir(filepath.Join(t.TempDir(), strings.Repeat("deep", 30)))
	if err := errors.Join(os.MkdirAll(d.Run(), 0o700), os.MkdirAll(d.Logs(), 0o700)); err != nil {
		t.Fatal(err)
	}
	return d
}

func serve(t *testing.T, d state.Dir) (ended chan struct{}) {
	t.Helper()
	sup := supervise.New(d.Run(), supervise.DefaultTiming, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ended = make(chan struct{})
	s := &Server{Supervisor: sup, Program: "abc", End: func() { close(ended) }}
	s.Reconcile = func(o Order) (supervise.Changes, error) {
		if o.AdminPassword == "bad" {
			return supervise.Changes{}, errors.New("that password cannot be")
		}
		return sup.Reconcile([]supervise.Spec{{
			Name: "sleeper", Kind: supervise.Server, Path: "/bin/sleep", Args: []string{"600"},
			Dir: string(d), Log: d.Log("sleeper"),
		}})
	}
	l, err := Listen(d)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.Handler()}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		sup.Stop()
	})
	return ended
}

func TestCommandsReachTheSupervisor(t *testing.T) {
	d := newFolder(t)
	c, ctx := NewClient(d), t.Context()
	if _, err := c.Status(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
	// What a killed supervisor leaves.
	if err := os.WriteFile(filepath.Join(d.Run(), socketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens any more: %v", err)
	}
	ended := serve(t, d)
	if _, err := c.Reconcile(ctx, Order{AdminPassword: "bad"}); err == nil || err.Error() != "that password cannot be" {
		t.Errorf("an error of the supervisor: %v", err)
	}
	changes, err := c.Reconcile(ctx, Order{})
	if err != nil || changes.String() != "started sleeper" {
		t.Fatalf("reconcile: %s %v", changes, err)
	}
	var seen []supervise.State
	if err := c.Watch(ctx, func(r Report) bool {
		seen = append(seen, r.Components[0].State)
		return !r.Components[0].Ready
	}); err != nil || len(seen) == 0 || seen[len(seen)-1] != supervise.Ready {
		t.Errorf("watch: %v %v", seen, err)
	}
	r, err := c.Status(ctx)
	if err != nil || r.PID != os.Getpid() || r.Program != "abc" || len(r.Components) != 1 ||
		r.Components[0].Name != "sleeper" || r.Components[0].PID == 0 || r.Components[0].WaitingFor == nil {
		t.Errorf("status: %+v %v", r, err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	<-ended
	if pids, err := supervise.Recorded(d.Run()); err != nil || len(pids) > 0 {
		t.Errorf("running after stop: %v %v", pids, err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	d := newFolder(t)
	serve(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	err := NewClient(d).Watch(ctx, func(Report) bool {
		cancel()
		return true
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

func TestLockLetsOneIn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), name, "first", func(string) { t.Error("waited for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	holders := make(chan string, 1)
	entered := make(chan error, 1)
	go func() {
		unlock, err := Lock(t.Context(), name, "second", func(holder string) { holders <- holder })
		if err == nil {
			unlock()
		}
		entered <- err
	}()
	if h := <-holders; h != "first" {
		t.Errorf("holder %q", h)
	}
	select {
	case err := <-entered:
		t.Fatalf("two are in: %v", err)
	default:
	}
	unlock()
	if err := <-entered; err != nil {
		t.Error(err)
	}
}

func TestLockGivesUp(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), name, "first", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lock(ctx, name, "second", func(string) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("lock: %v", err)
	}
}

func TestLockNoticesThatTheMeshWasRemoved(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), name, "first", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(t.Context(), name, "second", func(string) {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
		unlock()
	})
	if err == nil || !strings.Contains(err.Error(), "removed meanwhile") {
		t.Errorf("lock: %v", err)
	}
}

// People who are added at the same time are all there afterwards.
func TestChangesDoNotLoseEachOther(t *testing.T) {
	d := newFolder(t)
	store, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(d)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0 // by the race detector too, only one is at it at a time
	server := &http.Server{Handler: (&Server{
		People: func(c PersonChange) (supervise.Changes, error) {
			changes++
			return supervise.Changes{}, store.AddPerson(c.Person, "")
		},
		Rotate: func(Rotation) error {
			changes++
			return nil
		},
	}).Handler()}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	const n = 20
	client, failed := NewClient(d), make(chan error)
	for i := range n {
		go func() {
			_, err := client.ChangePerson(t.Context(), PersonChange{Do: AddPerson, Person: topology.Person{Name: fmt.Sprint("new", i), Group: "analysts"}})
			failed <- errors.Join(err, client.Rotate(t.Context(), Rotation{}))
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	people, err := store.Persons()
	if err != nil || len(people) != len(topology.People)+n || changes != 2*n {
		t.Errorf("%d people and %d changes, want %d and %d (%v)", len(people), changes, len(topology.People)+n, 2*n, err)
	}
}
