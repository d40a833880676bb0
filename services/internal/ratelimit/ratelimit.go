// Package ratelimit bounds how many requests a caller may send per second.
package ratelimit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// remembered bounds the memory: of more callers than this the ones who were
// silent the longest are forgotten, which only fills their buckets again.
const remembered = 10_000

// A Limiter gives every caller a bucket of tokens: one second's worth at most,
// filled at the rate.
type Limiter struct {
	perSecond int
	policy    string // the RateLimit-Policy header
	buckets   *lru.Cache[string, *rate.Limiter]
}

// New makes a limiter of so many requests per second and caller.
func New(perSecond int) *Limiter {
	buckets, err := lru.New[string, *rate.Limiter](remembered)
	if err != nil {
		panic(fmt.Sprintf("make the cache: %v", err)) // only a size below 1 is refused
	}
	return &Limiter{perSecond: perSecond, policy: fmt.Sprintf(`"default";q=%d;w=1`, perSecond), buckets: buckets}
}

// Allow takes one token of the caller's and says in the headers of w how many
// are left (draft-ietf-httpapi-ratelimit-headers-10, September 2025). Without a
// token the error is a 429 that says when to come back.
func (l *Limiter) Allow(w http.ResponseWriter, caller string) error {
	bucket, known := l.buckets.Get(caller)
	if !known {
		bucket = rate.NewLimiter(rate.Limit(l.perSecond), l.perSecond)
		if before, raced, _ := l.buckets.PeekOrAdd(caller, bucket); raced {
			bucket = before
		}
	}
	now := time.Now()
	allowed := bucket.AllowN(now, 1)
	left := max(0, int(bucket.TokensAt(now)))
	w.Header().Set("RateLimit-Policy", l.policy)
	w.Header().Set("RateLimit", `"default";r=`+strconv.Itoa(left)+`;t=1`)
	if allowed {
		return nil
	}
	p := problem.New(http.StatusTooManyRequests, problem.CodeRateLimited, "More than %d requests per second; slow down.", l.perSecond)
	p.RetryAfter = int(math.Ceil(1 / float64(l.perSecond)))
	return p
}
