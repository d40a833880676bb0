package ratelimit

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/datameesh/datameesh/services/internal/problem"
)

func TestACallerHasOneSecondsWorthAtMost(t *testing.T) {
	limiter := New(10)
	allowed := 0
	for range 100 {
		w := httptest.NewRecorder()
		err := limiter.Allow(w, "alex")
		if w.Header().Get("RateLimit") == "" || w.Header().Get("RateLimit-Policy") != `"default";q=10;w=1` {
			t.Fatalf("headers %v", w.Header())
		}
		if err == nil {
			allowed++
			continue
		}
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status != 429 || p.RetryAfter != 1 {
			t.Fatalf("got %v", err)
		}
	}
	// Ten at once, and what flowed in while the loop ran: far less than a second's worth.
	if allowed < 10 || allowed > 20 {
		t.Errorf("%d of 100 requests at once were allowed", allowed)
	}
	if err := limiter.Allow(httptest.NewRecorder(), "mia"); err != nil {
		t.Errorf("another caller is limited too: %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	limiter := New(1)
	for i := range 3 * remembered {
		_ = limiter.Allow(httptest.NewRecorder(), fmt.Sprint("address ", i))
	}
	if got := limiter.buckets.Len(); got > remembered {
		t.Errorf("%d callers are remembered", got)
	}
}
