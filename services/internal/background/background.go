// Package background lets work wait for everything else on the machine.
package background

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Ask says in a request's headers that its answer has no hurry: urgency 7 is that of
// background work (RFC 9218, section 4.1).
func Ask(h http.Header) { h.Set(header, urgency) }

const header, urgency = "Priority", "u=7"

// Asked says whether a request's headers ask for it. Other parameters of the header
// have no meaning here.
func Asked(h http.Header) bool {
	for _, value := range h.Values(header) {
		for parameter := range strings.SplitSeq(value, ",") {
			if strings.TrimSpace(parameter) == urgency {
				return true
			}
		}
	}
	return false
}

// Run runs f to its end on a thread of its own, which has a processor only while no
// other thread wants it (SCHED_IDLE, sched(7)): one that wakes up takes its place at
// once, where between equals it would wait for some milliseconds. f's panics are the
// caller's. Where the kernel does not let it, f runs like everything else.
func Run(f func() error) error {
	var err error
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				panicked = fmt.Errorf("%v\n%s", cause, debug.Stack())
			}
		}()
		runtime.LockOSThread() // never unlocked, so that the thread ends with f
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
			refused.Do(func() { slog.Warn("background work does not give way", "error", err) })
		}
		err = f()
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return err
}

// refused: that the kernel refuses is said once, not for each piece of work.
var refused sync.Once
