package meshtest

import (
	"context"
	"testing"
	"time"
)

// Until asks again until try returns nil; after patience the test fails with what
// and the last error. It asks less often the longer it waits: to ask a mesh for its
// status takes most of a processor, which what starts meanwhile needs.
func Until(t testing.TB, patience time.Duration, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for begin := time.Now(); ; {
		err := try()
		waited := time.Since(begin)
		if err == nil {
			t.Logf("%s: after %.1f s", what, waited.Seconds())
			return
		}
		select {
		case <-time.After(min(max(waited/10, 100*time.Millisecond), 2*time.Second)):
		case <-ctx.Done():
			t.Fatalf("waited %s for: %s: %v", waited.Round(time.Second), what, err)
		}
	}
}
