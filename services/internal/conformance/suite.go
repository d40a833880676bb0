package conformance

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/getkin/kin-openapi/openapi3"
)

// An operation is one method of one path.
type operation struct {
	method, path, scope string
	*openapi3.Operation
}

func (s *Server) operations() []operation {
	s.t.Helper()
	var list []operation
	for path, item := range s.description.Paths.Map() {
		for method, o := range item.Operations() {
			scope, _ := o.Extensions["x-scope"].(string)
			if scope == "" {
				s.t.Errorf("%s %s names no x-scope", method, path)
			}
			list = append(list, operation{method, path, scope, o})
		}
	}
	if len(list) == 0 {
		s.t.Fatal("the description has no operation")
	}
	return list
}

// at gives a path of the operation that leads to something with the id.
func (o operation) at(id string) string { return strings.ReplaceAll(o.path, "{id}", id) }

// Suite walks every route of the router and checks the manner that all services
// share. keys names for each scope a key that has it, and none other of the scopes.
func Suite(t *testing.T, server *Server, routes []string, keys map[string]string) {
	operations := server.operations()
	t.Run("every route is described and every description has a route", func(t *testing.T) {
		var described []string
		for _, o := range operations {
			described = append(described, o.method+" "+strings.NewReplacer("{", ":", "}", "").Replace(o.path))
		}
		routes := slices.DeleteFunc(slices.Clone(routes), func(r string) bool { return r == "GET /openapi.json" })
		slices.Sort(described)
		slices.Sort(routes)
		if !slices.Equal(described, routes) {
			t.Errorf("described: %v\nroutes: %v", described, routes)
		}
	})
	t.Run("what callers send is neither logged nor repeated", func(t *testing.T) {
		s := *server
		s.t = t
		hidden(t, func() { s.canaries(operations, keys) })
	})
	for _, o := range operations {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			s := *server
			s.t = t
			s.authentication(o, keys)
			s.answers(o, keys[o.scope])
		})
	}
}

func (s *Server) authentication(o operation, keys map[string]string) {
	s.t.Helper()
	if keys[o.scope] == "" {
		s.t.Fatalf("the test has no key for %s", o.scope)
	}
	for _, key := range []string{"", "unknown", "' OR true --"} {
		a := s.Send(key, o.method, o.at("1"), "")
		if a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			s.t.Errorf("with key %q: %d, challenge %q", key, a.Status, a.Header.Get("WWW-Authenticate"))
		}
	}
	for scope, key := range keys {
		a := s.Send(key, o.method, o.at("1"), "")
		if (a.Status == http.StatusForbidden) != (scope != o.scope) {
			s.t.Errorf("needs %s; with the key of %s: %d", o.scope, scope, a.Status)
		}
	}
}

// answers sends what callers get wrong.
func (s *Server) answers(o operation, key string) {
	s.t.Helper()
	want := func(status int, a Answer) {
		s.t.Helper()
		if a.Status != status {
			s.t.Errorf("%d %s, want %d", a.Status, a.Text, status)
		}
	}
	if a := s.Send(key, o.method, o.at("1"), "", "X-Request-Id", "mine-1"); a.Header.Get("X-Request-Id") != "mine-1" {
		s.t.Errorf("the caller's request id became %q", a.Header.Get("X-Request-Id"))
	}
	if a := s.Send(key, o.method, o.at("1"), ""); a.Header.Get("RateLimit") == "" {
		s.t.Error("no RateLimit header")
	}
	if strings.Contains(o.path, "{id}") && o.method == http.MethodGet {
		for _, id := range []string{"0", "-1", "abc", "1e3", "9223372036854775807", "9223372036854775808", "%00", "%EF%BC%91", "1%27"} {
			want(http.StatusNotFound, s.Send(key, o.method, o.at(id), ""))
		}
	}
	if o.method == http.MethodGet {
		for _, query := range []string{"unknown=1", "limit=0", "limit=-1", "limit=1000001", "limit=NaN", "limit=1&limit=2", "cursor=x", "cursor=" + strings.Repeat("A", 5000), "id)--=1"} {
			if strings.Contains(o.path, "{id}") {
				continue
			}
			want(http.StatusBadRequest, s.Send(key, o.method, o.path+"?"+query, ""))
		}
	}
	for _, p := range o.Parameters {
		if p.Value.In == "query" {
			want(http.StatusBadRequest, s.Send(key, o.method, o.at("1")+"?"+p.Value.Name+"=", ""))
		}
		if p.Value.Name == "Idempotency-Key" {
			want(http.StatusBadRequest, s.Send(key, o.method, o.at("1"), "{}", "Idempotency-Key", "", "Content-Type", s.mediaType(o)))
			want(http.StatusBadRequest, s.Send(key, o.method, o.at("1"), "{}", "Idempotency-Key", strings.Repeat("k", 256), "Content-Type", s.mediaType(o)))
		}
	}
	s.methods(o, key)
	if o.RequestBody == nil || o.RequestBody.Value.Content.Get("application/json") == nil {
		return
	}
	for body, status := range map[string]int{
		"":                                     http.StatusUnsupportedMediaType,
		"{":                                    http.StatusBadRequest,
		"{} {}":                                http.StatusBadRequest,
		"nonsense":                             http.StatusBadRequest,
		"\xef\xbb\xbf{}":                       http.StatusBadRequest,
		"{\"a\":\"\xff\"}":                     http.StatusBadRequest,
		"null":                                 http.StatusUnprocessableEntity,
		strings.Repeat("[", 20_000):            http.StatusBadRequest,
		`{"no such field":1}`:                  http.StatusUnprocessableEntity,
		`[]`:                                   http.StatusUnprocessableEntity,
		`"text"`:                               http.StatusUnprocessableEntity,
		`"` + strings.Repeat("x", 2<<20) + `"`: http.StatusRequestEntityTooLarge,
	} {
		a := s.Send(key, o.method, o.at("1"), body)
		if a.Status != status {
			s.t.Errorf("body %.20q: %d %s, want %d", body, a.Status, a.Text, status)
		}
	}
	want(http.StatusUnsupportedMediaType, s.Send(key, o.method, o.at("1"), "{}", "Content-Type", "text/plain"))
}

func (s *Server) mediaType(o operation) string {
	for mediaType := range o.RequestBody.Value.Content {
		return mediaType
	}
	s.t.Errorf("%s %s takes a key and no body", o.method, o.path)
	return ""
}

// methods sends what the path does not answer; the Allow header says what it does.
func (s *Server) methods(o operation, key string) {
	s.t.Helper()
	described := s.description.Paths.Value(o.path).Operations()
	for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		if described[method] != nil {
			continue
		}
		a := s.Send(key, method, o.at("1"), "")
		allowed := strings.Split(a.Header.Get("Allow"), ", ")
		slices.Sort(allowed)
		if a.Status != http.StatusMethodNotAllowed || !slices.Equal(allowed, slices.Sorted(maps.Keys(described))) {
			s.t.Errorf("%s %s: %d, Allow: %v", method, o.path, a.Status, allowed)
		}
	}
}

// Canary stands for personal data: it must turn up in no log line, no metric and
// no problem, wherever a caller puts it.
const Canary = "canary.person.7291"

// hidden runs send and fails when a log line or a label holds the Canary then.
func hidden(t testing.TB, send func()) {
	t.Helper()
	before := slog.Default()
	defer slog.SetDefault(before)
	var log lockedBuffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	slog.Info("the log is watched")
	send()
	if text := log.String(); !strings.Contains(text, "the log is watched") || strings.Contains(text, Canary) {
		t.Errorf("the log holds what was sent, or was not watched:\n%s", text)
	}
	metrics, err := prometheus.DefaultGatherer.Gather()
	if err != nil || len(metrics) == 0 {
		t.Fatalf("%d metrics, error %v", len(metrics), err)
	}
	for _, m := range metrics {
		if strings.Contains(m.String(), Canary) {
			t.Errorf("a label holds what was sent: %s", m)
		}
	}
}

// canaries sends the Canary in every place of every operation.
func (s *Server) canaries(operations []operation, keys map[string]string) {
	s.t.Helper()
	for _, o := range operations {
		for _, a := range []Answer{
			s.Send(Canary, o.method, o.at("1"), ""),
			s.Send(keys[o.scope], o.method, o.at(Canary), ""),
			s.Send(keys[o.scope], o.method, o.at("1")+"?limit="+Canary+"&email="+Canary+"&q="+Canary, ""),
			s.Send(keys[o.scope], o.method, o.at("1"), `{"email":"`+Canary+`","customer_name":"\u0000`+Canary+`","full_name":1,"total_amount":"`+Canary+`"}`, "If-Match", Canary, "Idempotency-Key", Canary),
			s.Send(keys[o.scope], o.method, o.at("1"), `{"status":"`+Canary+`"}`, "If-Match", Canary),
			s.Send(keys[o.scope], o.method, o.at("1"), Canary, "traceparent", Canary),
		} {
			if a.Status >= http.StatusBadRequest && bytes.Contains(a.Text, []byte(Canary)) {
				s.t.Errorf("%s %s: the problem repeats what was sent: %s", o.method, o.path, a.Text)
			}
		}
	}
}

// A lockedBuffer is written by the server and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
