package audit

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Most bytes of a request. Trino's events hold whole plans: 280 KB were seen.
const (
	maxEvents = 1 << 20
	maxTrino  = 64 << 20
)

// handler takes events from whoever knows the token.
//
//	POST /v1/events  an Event, or a list of them, as JSON: 204; 400 says what is wrong
//	POST /v1/trino   what Trino's http-event-listener sends
//	GET  /livez, /readyz
type handler struct {
	record *Record
	token  string
	log    *slog.Logger
	failed atomic.Bool // the last attempt to keep something
}

func (h *handler) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if h.failed.Load() {
			http.Error(w, "the record cannot be written, see the log", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /v1/events", h.events)
	mux.HandleFunc("POST /v1/trino", h.trino)
	return mux
}

func (h *handler) allowed(w http.ResponseWriter, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && subtle.ConstantTimeCompare([]byte(token), []byte(h.token)) == 1 {
		return true
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "the bearer token is missing or wrong", http.StatusUnauthorized)
	return false
}

func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	if !h.allowed(w, r) {
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvents))
	if err != nil {
		h.refuse(w, err)
		return
	}
	list, err := parseEvents(text)
	if err != nil {
		h.refuse(w, err)
		return
	}
	h.keep(w, list...)
}

// parseEvents reads one event or a list of them.
func parseEvents(text []byte) (list []Event, err error) {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '{' {
		text = append(append([]byte{'['}, text...), ']')
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // a misspelt field would be lost
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("not an event or a list of events: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not an event or a list of events: there is more after it")
	}
	for i, e := range list {
		if err := e.check(time.Now()); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return list, nil
}

func (h *handler) trino(w http.ResponseWriter, r *http.Request) {
	if !h.allowed(w, r) {
		return
	}
	e, err := fromTrino(http.MaxBytesReader(w, r.Body, maxTrino))
	if err != nil {
		h.refuse(w, err)
		return
	}
	h.keep(w, e)
}

// refuse answers what cannot be kept; that something was lost is in the log,
// and for a sender that does not look at the answer in the record.
func (h *handler) refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		status = http.StatusRequestEntityTooLarge
	}
	h.log.Error("event refused", "error", err)
	if err := h.record.Append(Event{Who: "mesh-audit", Tool: ToolAudit, Action: "refuse", Outcome: Failed, Detail: "an event could not be read and is lost"}); err != nil {
		h.log.Error("not kept", "error", err)
	}
	http.Error(w, err.Error(), status)
}

func (h *handler) keep(w http.ResponseWriter, list ...Event) {
	err := h.record.Append(list...)
	h.failed.Store(err != nil)
	if err != nil {
		h.log.Error("events are not kept", "events", len(list), "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the record cannot be written now; send it again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
