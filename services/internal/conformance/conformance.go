// Package conformance holds a service to what its OpenAPI description promises.
package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/datameesh/datameesh/services/internal/apikey"
)

// A Server is a service under test. Every answer it gives is checked against
// its description; one that is not described fails the test.
type Server struct {
	t           testing.TB
	url         string
	description *openapi3.T
	router      routers.Router
	checked     *sync.Map // answers that are right, as text
}

// An Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Text   []byte
	Body   map[string]any // nil when the answer is no JSON object
}

// AwaitRetry waits for as long as the answer asks its caller to.
func (a Answer) AwaitRetry(t testing.TB) {
	t.Helper()
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil {
		t.Errorf("%d without Retry-After: %s", a.Status, a.Text)
		return
	}
	select {
	case <-t.Context().Done():
	case <-time.After(time.Duration(seconds) * time.Second):
	}
}

// Serve starts the handler and reads its description from /openapi.json.
func Serve(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	description, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	if err := description.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	router, err := gorillamux.NewRouter(description)
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	return &Server{t, server.URL, description, router, &sync.Map{}}
}

// URL gives the URL of a path, for requests that Send cannot make.
func (s *Server) URL(path string) string { return s.url + path }

// Keys makes a ring of keys, each with its scopes; a key's name is the key.
func Keys(t testing.TB, scopes map[string][]string) *apikey.Ring {
	t.Helper()
	var file struct {
		Keys []apikey.Key `json:"keys"`
	}
	for key, scopes := range scopes {
		sum := sha256.Sum256([]byte(key))
		file.Keys = append(file.Keys, apikey.Key{Name: key, SHA256: hex.EncodeToString(sum[:]), Scopes: scopes})
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := apikey.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// Send sends a request with the key ("" for none) and a body ("" for none, else
// JSON unless a header says otherwise). headers are name, value, name, value.
func (s *Server) Send(key, method, path, body string, headers ...string) Answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := Answer{Status: response.StatusCode, Header: response.Header, Text: text}
	if bytes.HasPrefix(text, []byte("{")) {
		if err := json.Unmarshal(text, &a.Body); err != nil {
			s.t.Fatalf("%s %s answered %d with %.200q, which is no JSON", method, path, a.Status, text)
		}
	}
	s.check(request, a)
	return a
}

// check compares the answer with the description.
func (s *Server) check(request *http.Request, a Answer) {
	s.t.Helper()
	if a.Header.Get("X-Request-Id") == "" {
		s.t.Errorf("%s %s: no X-Request-Id", request.Method, request.URL.Path)
	}
	if a.Status >= 400 {
		if a.Header.Get("Content-Type") != "application/problem+json" || a.Body["code"] == nil || a.Body["request_id"] != a.Header.Get("X-Request-Id") || a.Body["status"] != float64(a.Status) {
			s.t.Errorf("%s %s answered %d (%s) %s, which is no problem", request.Method, request.URL.Path, a.Status, a.Header.Get("Content-Type"), a.Text)
		}
	}
	// Of a thousand answers that are the same one is checked.
	same := fmt.Sprint(request.Method, request.URL.Path, a.Status, a.Header.Get("Content-Type"), a.Header.Get("ETag"), a.Header.Get("Location"), string(a.Text))
	if _, known := s.checked.LoadOrStore(same, true); known {
		return
	}
	route, params, err := s.router.FindRoute(request)
	if err != nil {
		if a.Status != http.StatusNotFound && a.Status != http.StatusMethodNotAllowed {
			s.t.Errorf("%s %s answered %d but is not described: %v", request.Method, request.URL.Path, a.Status, err)
		}
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route},
		Status:                 a.Status,
		Header:                 a.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(a.Text)
	if err := openapi3filter.ValidateResponse(s.t.Context(), input); err != nil {
		s.t.Errorf("%s %s answered %d with what the description does not promise: %v", request.Method, request.URL.Path, a.Status, err)
	}
}
