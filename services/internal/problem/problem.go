// Package problem writes HTTP errors as RFC 9457 problem details.
package problem

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/datameesh/datameesh/services/internal/requestid"
)

// Stable codes: programs branch on these, people read the detail.
const (
	CodeMalformed       = "malformed_request"
	CodeInvalidQuery    = "invalid_query"
	CodeInvalidBody     = "invalid_body"
	CodeUnauthenticated = "unauthenticated"
	CodeForbidden       = "forbidden"
	CodeNotFound        = "not_found"
	CodeMethod          = "method_not_allowed"
	CodeConflict        = "conflict"
	CodeTooLarge        = "payload_too_large"
	CodeTimeout         = "request_timeout"
	CodeMediaType       = "unsupported_media_type"
	CodePrecondition    = "precondition_failed"
	CodePreconditionReq = "precondition_required"
	CodeRateLimited     = "rate_limited"
	CodeUnavailable     = "unavailable"
	CodeInternal        = "internal"
)

// A Field names one invalid part of a request.
type Field struct {
	// Pointer is an RFC 6901 pointer into the body ("/email"), or the name of a
	// query parameter ("limit").
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// A Problem is an error that may be shown to the caller of an API. It never
// holds SQL, stack traces or personal data.
type Problem struct {
	Status    int     `json:"status"`
	Title     string  `json:"title"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	RequestID string  `json:"request_id,omitempty"`
	TraceID   string  `json:"trace_id,omitempty"` // of the caller's traceparent
	Fields    []Field `json:"errors,omitempty"`

	// RetryAfter is the number of seconds after which a retry makes sense;
	// 0 sends no Retry-After header.
	RetryAfter int `json:"-"`
	// Challenge is the WWW-Authenticate header of a 401.
	Challenge string `json:"-"`

	cause error
}

// New makes a problem with the HTTP status, a stable code and a sentence for
// the caller.
func New(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Invalid makes the 422 of a well-formed body with wrong values. The keys of
// fields are JSON pointers, the values say what is wrong.
func Invalid(fields map[string]string) *Problem {
	p := New(http.StatusUnprocessableEntity, CodeInvalidBody, "The request body has %d invalid %s.", len(fields), plural(len(fields), "field", "fields"))
	p.Fields = sorted(fields)
	return p
}

// BadQuery makes the 400 of wrong query parameters. The keys of params are
// parameter names, the values say what is wrong.
func BadQuery(params map[string]string) *Problem {
	p := New(http.StatusBadRequest, CodeInvalidQuery, "The request has %d invalid %s.", len(params), plural(len(params), "parameter", "parameters"))
	p.Fields = sorted(params)
	return p
}

// Unavailable makes the 503 of a service whose database does not answer.
// The cause goes to the log, not to the caller.
func Unavailable(cause error) *Problem {
	p := New(http.StatusServiceUnavailable, CodeUnavailable, "The database does not answer at the moment. Try again, with the Idempotency-Key of the request if it has one: it may have been carried out.")
	p.RetryAfter = 1
	p.cause = cause
	return p
}

// Error makes a Problem an error.
func (p *Problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%d %s: %v", p.Status, p.Code, p.cause)
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
}

// Unwrap gives the cause that the caller does not see.
func (p *Problem) Unwrap() error { return p.cause }

// Write answers a request with err. An error that is no Problem becomes a 500
// whose text stays in the log.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		p = New(http.StatusInternalServerError, CodeInternal, "The request failed inside the service; the log of the service names the cause under the request id.")
		p.cause = err
	}
	answer := *p
	answer.RequestID = requestid.From(r.Context())
	if span := trace.SpanContextFromContext(r.Context()); span.IsValid() {
		answer.TraceID = span.TraceID().String()
	}
	if p.Status >= http.StatusInternalServerError {
		slog.ErrorContext(r.Context(), "request failed", "status", p.Status, "error", err)
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(p.RetryAfter))
	}
	if p.Challenge != "" {
		w.Header().Set("WWW-Authenticate", p.Challenge)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		slog.DebugContext(r.Context(), "caller went away before the answer", "error", err)
	}
}

func sorted(fields map[string]string) []Field {
	list := make([]Field, 0, len(fields))
	for pointer, detail := range fields {
		list = append(list, Field{Pointer: pointer, Detail: detail})
	}
	slices.SortFunc(list, func(a, b Field) int { return comparePointers(a.Pointer, b.Pointer) })
	return list
}

// comparePointers orders JSON pointers as their fields lie in the body: the item
// 10 of a list comes after the item 9.
func comparePointers(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "/"), strings.Split(b, "/"), func(a, b string) int {
		m, errA := strconv.Atoi(a)
		n, errB := strconv.Atoi(b)
		if errA == nil && errB == nil {
			return cmp.Compare(m, n)
		}
		return strings.Compare(a, b)
	})
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
