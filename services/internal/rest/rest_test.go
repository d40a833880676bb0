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
