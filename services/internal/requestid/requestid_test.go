package requestid

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMiddlewareTakesWellFormedIdsOnly(t *testing.T) {
	handler := Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for given, taken := range map[string]bool{
		"abc-1.2_X": true, "": false, "a b": false, "a\nb": false, "é": false, strings.Repeat("x", 65): false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header[Header] = []string{given}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		got := w.Header().Get(Header)
		if (got == given) != taken || !wellFormed.MatchString(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
}
