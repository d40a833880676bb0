// Package requestid gives every request an id that its answer, its problems and its logs share.
package requestid

import (
	"context"
	"crypto/rand"
	"net/http"
	"regexp"
)

// Header carries the id in both directions.
const Header = "X-Request-Id"

// wellFormed keeps what callers send from forging log lines.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type contextKey struct{}

// From gives the id of the request that the context belongs to, or "".
func From(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}

// Middleware takes the caller's id when it is well-formed, else makes one; it
// sets it on the response and in the request's context.
func Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(Header)
		if !wellFormed.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set(Header, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, id)))
	})
}
