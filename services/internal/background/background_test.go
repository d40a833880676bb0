package background

import (
	"errors"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func policy(t *testing.T, thread int) uint32 {
	t.Helper()
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil { // not Fatal: it is called by goroutines of others
		t.Errorf("policy of thread %d: %v", thread, err)
		return 0
	}
	return attr.Policy
}

// The thread of the work gives way, those of everything else do not, and none that
// gives way is left behind for others.
func TestRunGivesWay(t *testing.T) {
	failed := errors.New("failed")
	var thread int
	err := Run(func() error {
		thread = unix.Gettid()
		if got := policy(t, thread); got != unix.SCHED_IDLE {
			t.Errorf("the work has the policy %d", got)
		}
		elsewhere := make(chan uint32)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			elsewhere <- policy(t, 0)
		}()
		if got := <-elsewhere; got != unix.SCHED_NORMAL {
			t.Errorf("what the work starts has the policy %d", got)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if thread == os.Getpid() {
		return // Go never ends the first thread, but runs nothing on it any more
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := unix.SchedGetAttr(thread, 0); errors.Is(err, unix.ESRCH) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread of the work is still there")
		}
	}
}

func TestPanicsAreTheCallers(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = Run(func() error { panic("broken") })
}

func TestAsked(t *testing.T) {
	h := http.Header{}
	if Asked(h) {
		t.Error("asked by nobody")
	}
	Ask(h)
	if !Asked(h) {
		t.Errorf("not asked by %v", h)
	}
	for value, want := range map[string]bool{"u=3": false, "u=7, i": true, "i,u=7": true, "u=77": false, "x;u=7": false} {
		if got := Asked(http.Header{"Priority": {value}}); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}
