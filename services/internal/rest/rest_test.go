package rest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
)

var (
	errNotFound    = errors.New("not found")
	errConflict    = errors.New("conflict")
	errUnavailable = errors.New("unavailable")
)

type thing struct {
	ID   int64   `json:"thing_id"`
	Name *string `json:"name"`
}

// router answers GET /things with what answer gives.
func router(t *testing.T, answer Handler) http.Handler {
	t.Helper()
	r, err := NewRouter(Service{
		Keys:    conformance.Keys(t, map[string][]string{"key": {"read"}}),
		Errors:  Errors{errNotFound, errConflict, errUnavailable},
		OpenAPI: []byte("openapi: 3.1.0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.GET("/things", "read", answer)
	return r.Handler()
}

func get(handler http.Handler, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/things", nil)
	r.Header.Set("Authorization", "Bearer key")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestErrorsOfTheDomainBecomeProblems(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("thing 7: %w", errNotFound), 404, "no such resource"},
		{fmt.Errorf("update thing 7: %w: thing 7 is broken", errConflict), 409, `"detail":"thing 7 is broken."`},
		{fmt.Errorf("list: %w: dial tcp secret", errUnavailable), 503, "Try again"},
		{errors.New("SELECT secret"), 500, "under the request id"},
	} {
		w := get(router(t, func(*gin.Context) error { return c.err }))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestAPanicFailsItsOwnRequestOnly(t *testing.T) {
	handler := router(t, func(c *gin.Context) error {
		if c.GetHeader("Panic") != "" {
			panic("secret")
		}
		return OK(c, thing{}, nil)
	})
	if w := get(handler, "Panic", "yes"); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(handler); w.Code != 200 {
		t.Errorf("the next request: %d %s", w.Code, w.Body)
	}
}

func TestCSV(t *testing.T) {
	names := []string{"plain", `with "quotes", comma`, "=cmd()", "+1", "-1", "@x", "\ttab", ""}
	var things []thing
	for i := range names {
		things = append(things, thing{ID: -int64(i), Name: &names[i]})
	}
	things = append(things, thing{ID: 99})
	handler := router(t, func(c *gin.Context) error { return All(c, things, nil) })
	w := get(handler, "Accept", "text/csv")
	want := "thing_id,name\r\n0,plain\r\n-1,\"with \"\"quotes\"\", comma\"\r\n-2,'=cmd()\r\n-3,'+1\r\n-4,'-1\r\n-5,'@x\r\n-6,'\ttab\r\n-7,\r\n99,\r\n"
	if w.Body.String() != want {
		t.Errorf("got\n%q, want\n%q", w.Body, want)
	}
	for accept, wantType := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/json, text/csv": "application/json",
		"text/html, text/csv;q=0.9, */*;q=0.1": "text/csv; charset=utf-8; header=present",
	} {
		if got := get(handler, "Accept", accept).Header().Get("Content-Type"); got != wantType {
			t.Errorf("Accept %q: %q, want %q", accept, got, wantType)
		}
	}
}

type embedding struct {
	thing
	Note   string `json:"note"`
	Hidden string `json:"-"`
}

func TestCSVHasTheColumnsOfJSON(t *testing.T) {
	handler := router(t, func(c *gin.Context) error { return All(c, []embedding{{thing: thing{ID: 7}, Note: "n"}}, nil) })
	if got, want := get(handler, "Accept", "text/csv").Body.String(), "thing_id,name,note\r\n7,,n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A path that has a meaning of its own is no id, whatever the method.
func TestAPathIsNotTakenForAnID(t *testing.T) {
	r, err := NewRouter(Service{Keys: conformance.Keys(t, map[string][]string{"key": {"read"}}), OpenAPI: []byte("openapi: 3.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(c *gin.Context) error { return OK(c, thing{}, nil) }
	r.GET("/things/:id", "read", answer)
	r.POST("/things/import", "read", answer)
	for _, c := range []struct {
		method, path, allow string
		status              int
	}{
		{"GET", "/things/1", "", 200}, {"POST", "/things/import", "", 200},
		{"GET", "/things/import", "POST", 405}, {"OPTIONS", "/things/import", "POST", 405}, {"POST", "/things/1", "GET", 405},
	} {
		request := httptest.NewRequest(c.method, c.path, nil)
		request.Header.Set("Authorization", "Bearer key")
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, request)
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q", c.method, c.path, w.Code, w.Header().Get("Allow"), c.status, c.allow)
		}
	}
}

// Who has no key shares a bucket with his address, whatever he says of himself.
func TestTheLimitIsPerAddress(t *testing.T) {
	r, err := NewRouter(Service{Keys: conformance.Keys(t, map[string][]string{"key": {"read"}}), Limit: ratelimit.New(5), OpenAPI: []byte("openapi: 3.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	r.GET("/things", "read", func(c *gin.Context) error { return OK(c, thing{}, nil) })
	limited := 0
	for i := range 50 {
		request := httptest.NewRequest(http.MethodGet, "/things", nil)
		for _, header := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded"} {
			request.Header.Set(header, fmt.Sprintf("10.0.0.%d", i))
		}
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, request)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "" {
			limited++
		}
	}
	if limited < 30 { // fewer only if the 50 took seconds
		t.Errorf("%d of 50 requests were limited", limited)
	}
	if w := get(r.Handler()); w.Code != http.StatusOK {
		t.Errorf("who has a key: %d", w.Code)
	}
}

func TestAnIdempotencyKeyIsOneOrNone(t *testing.T) {
	r, err := NewRouter(Service{Keys: conformance.Keys(t, map[string][]string{"key": {"read"}}), OpenAPI: []byte("openapi: 3.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	r.POST("/things", "read", func(c *gin.Context) error { return OK(c, thing{}, nil) })
	for _, c := range []struct {
		keys   []string
		status int
	}{{nil, 200}, {[]string{"k"}, 200}, {[]string{""}, 400}, {[]string{"a", "b"}, 400}, {[]string{strings.Repeat("k", 256)}, 400}} {
		request := httptest.NewRequest(http.MethodPost, "/things", nil)
		request.Header["Authorization"], request.Header["Idempotency-Key"] = []string{"Bearer key"}, c.keys
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, request)
		if w.Code != c.status {
			t.Errorf("%.20q: %d %s", c.keys, w.Code, w.Body)
		}
	}
}

func TestWhoAsksWhileTheFirstRequestRunsIsToldWhenToAskAgain(t *testing.T) {
	w := get(router(t, func(*gin.Context) error { return fmt.Errorf("make a thing: %w", idempotency.ErrRunning) }))
	if w.Code != http.StatusConflict || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "still running") {
		t.Errorf("%d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}

func TestTheCallersTraceGoesOn(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	handler := router(t, func(*gin.Context) error { return errNotFound })
	if w := get(handler, "traceparent", "00-"+id+"-00f067aa0ba902b7-01"); !strings.Contains(w.Body.String(), id) {
		t.Errorf("the problem does not name the trace: %s", w.Body)
	}
	for _, wrong := range []string{"", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		if w := get(handler, "traceparent", wrong); strings.Contains(w.Body.String(), "trace_id") {
			t.Errorf("traceparent %q: %s", wrong, w.Body)
		}
	}
}

// Whatever paths and methods callers invent, the metrics stay few.
func TestMetricsHaveASeriesPerRouteNotPerPath(t *testing.T) {
	handler := router(t, func(c *gin.Context) error { return OK(c, thing{}, nil) })
	get(handler)
	before := testutil.CollectAndCount(durations)
	for i := range 1000 {
		r := httptest.NewRequest(fmt.Sprintf("METHOD%d", i), fmt.Sprintf("/%d", i), nil)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	if grown := testutil.CollectAndCount(durations) - before; grown > 2 {
		t.Errorf("1000 invented requests made %d series", grown)
	}
}

func TestABrokenDescriptionIsRefused(t *testing.T) {
	if _, err := NewRouter(Service{OpenAPI: []byte("\tnot yaml")}); err == nil {
		t.Error("no error")
	}
}
