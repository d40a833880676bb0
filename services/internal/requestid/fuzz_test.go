package requestid

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// allowed are the characters of an id, written out apart from the expression that is tested.
const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// Whatever a caller sends, the id is fit for a log line.
func FuzzMiddleware(f *testing.F) {
	for _, id := range []string{"", "abc-1.2_3", "a b", "a\nb", "é", "0123456789012345678901234567890123456789012345678901234567890123456789"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, given string) {
		request := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Header[Header] = []string{given}
		answer := httptest.NewRecorder()
		Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			id := From(r.Context())
			if len(id) < 1 || len(id) > 64 || answer.Header().Get(Header) != id {
				t.Errorf("%q became %q", given, id)
			}
			if strings.ContainsFunc(id, func(r rune) bool { return !strings.ContainsRune(allowed, r) }) {
				t.Errorf("%q became %q", given, id)
			}
		})).ServeHTTP(answer, request)
	})
}
