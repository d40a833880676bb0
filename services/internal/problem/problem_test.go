package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/requestid"
)

func TestWriteAnswersTheProblem(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(requestid.Header, "abc")
	requestid.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Write(w, r, Invalid(map[string]string{"/b": "is wrong", "/a": "is missing"}))
	})).ServeHTTP(w, r)
	if w.Code != 422 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	var got Problem
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.RequestID != "abc" || got.Code != CodeInvalidBody || len(got.Fields) != 2 || got.Fields[0].Pointer != "/a" {
		t.Errorf("got %+v", got)
	}
}

func TestFieldsComeInTheOrderOfTheBody(t *testing.T) {
	p := Invalid(map[string]string{"/leads/10/email": "", "/leads/9/score": "", "/leads/9/email": "", "/leads": "", "/a": ""})
	var got []string
	for _, f := range p.Fields {
		got = append(got, f.Pointer)
	}
	if want := "/a /leads /leads/9/email /leads/9/score /leads/10/email"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestWriteHidesForeignErrors(t *testing.T) {
	for name, err := range map[string]error{
		"unknown":     errors.New("SELECT secret FROM customers"),
		"unavailable": Unavailable(errors.New("dial tcp: SELECT secret")),
	} {
		w := httptest.NewRecorder()
		Write(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		if w.Code < 500 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestUnavailableAsksToRetry(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, httptest.NewRequest(http.MethodGet, "/", nil), Unavailable(errors.New("away")))
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}
