// Package audit keeps the one record of who did what in the mesh, append-only and searchable.
package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/datameesh/datameesh/platform/redact"
)

// Outcomes of what somebody tried.
const (
	OK      = "ok"
	Refused = "refused" // not allowed, or not known
	Failed  = "failed"  // allowed, and did not work
)

// Tools that tell of events.
const (
	ToolTrino       = "trino"
	ToolHub         = "hub"
	ToolPostgreSQL  = "postgresql"
	ToolDBT         = "dbt"
	ToolAPI         = "api"
	ToolGrafana     = "grafana"
	ToolViewer      = "viewer"
	ToolObjectStore = "object-store"
	ToolMeesh       = "meesh"
	ToolAudit       = "audit" // about the record itself: what was lost or dropped
)

// Tools lists them.
var Tools = []string{ToolTrino, ToolHub, ToolPostgreSQL, ToolDBT, ToolAPI, ToolGrafana, ToolViewer, ToolObjectStore, ToolMeesh, ToolAudit}

// An Event is one thing that somebody did or tried. None of its fields holds a
// secret, nor a statement with its literals (see normalise).
type Event struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`  // person, service user, API key or account, by name
	Tool    string    `json:"tool"` // one of Tools
	Action  string    `json:"action"`
	Object  string    `json:"object,omitempty"` // what it was done to
	Outcome string    `json:"outcome"`          // OK, Refused or Failed
	From    string    `json:"from,omitempty"`   // address it came from
	Detail  string    `json:"detail,omitempty"`
	// ID makes an event that is sent twice be kept once; empty for none.
	ID string `json:"id,omitempty"`
}

const (
	// maxField is how many bytes of a field are kept.
	maxField = 1024
	// maxWho is the same of Who, which is what somebody typed: names have at most 63.
	maxWho = 64
)

// check says what is wrong with an event that somebody sent.
func (e Event) check(now time.Time) error {
	var wrong []error
	for _, f := range []struct{ name, value string }{{"who", e.Who}, {"tool", e.Tool}, {"action", e.Action}, {"outcome", e.Outcome}} {
		if f.value == "" {
			wrong = append(wrong, fmt.Errorf("%s is missing", f.name))
		}
	}
	if e.Tool != "" && !known(Tools, e.Tool) {
		wrong = append(wrong, fmt.Errorf("tool %q is none of %s", e.Tool, strings.Join(Tools, ", ")))
	}
	if outcomes := []string{OK, Refused, Failed}; e.Outcome != "" && !known(outcomes, e.Outcome) {
		wrong = append(wrong, fmt.Errorf("outcome %q is none of %s", e.Outcome, strings.Join(outcomes, ", ")))
	}
	if e.At.After(now.Add(time.Minute)) {
		wrong = append(wrong, fmt.Errorf("at %s lies in the future", e.At.Format(time.RFC3339)))
	}
	return errors.Join(wrong...)
}

func known(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// clean makes every field one short line of text that a terminal can show.
func (e Event) clean() Event {
	for _, f := range []*string{&e.Who, &e.Tool, &e.Action, &e.Object, &e.Outcome, &e.From, &e.Detail, &e.ID} {
		*f = line(*f)
	}
	e.Who = cut(e.Who, maxWho)
	e.At = e.At.UTC().Truncate(time.Microsecond)
	return e
}

func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), maxField)
}

// maxStatement is how many bytes of a statement are kept.
const maxStatement = 600

// normalise returns what a statement does, without its literals.
func normalise(sql string) string { return cut(redact.Statement(sql, 2*maxStatement), maxStatement) }

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
