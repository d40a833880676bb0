package conformance

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An Example is a request that a service answers well.
type Example struct {
	Operation   string // "PATCH /v1/customers/{id}"
	ID          string // of something that is there, for a path with {id}
	Body, Other string // two that differ, with the Canary where a person's data belongs; none for GET
	ContentType string // of the two; JSON if empty
}

// Manner sends the examples in their order, of which later ones may need what
// earlier ones make, and checks what the description promises of their
// operations: entity tags, preconditions, idempotency keys, CSV. An operation
// that promises one of these must have an example; one that promises none may
// have one, for what it changes.
func Manner(t *testing.T, server *Server, keys map[string]string, examples []Example) {
	operations, missing := map[string]operation{}, map[string]bool{}
	for _, o := range server.operations() {
		name := o.method + " " + o.path
		operations[name] = o
		if (o.promises() != promises{}) {
			missing[name] = true
		}
	}
	hidden(t, func() {
		for i, e := range examples {
			t.Run(e.Operation, func(t *testing.T) {
				o, known := operations[e.Operation]
				if !known {
					t.Fatal("there is no such operation")
				}
				delete(missing, e.Operation)
				s := *server
				s.t = t
				m := mannered{&s, o, e, keys[o.scope], keys[operations["GET "+o.path].scope]}
				m.check(fmt.Sprintf("example %d", i))
			})
		}
	})
	for name := range missing {
		t.Errorf("%s has no example", name)
	}
}

// promises are the manners that a description promises of an operation.
type promises struct{ tag, csv, precondition, once bool }

func (o operation) promises() (p promises) {
	p.tag = o.Responses.Value("304") != nil
	if ok := o.Responses.Value("200"); ok != nil {
		p.csv = ok.Value.Content["text/csv"] != nil
	}
	for _, parameter := range o.Parameters {
		switch parameter.Value.Name {
		case "If-Match":
			p.precondition = true
		case "Idempotency-Key":
			p.once = true
		}
	}
	return p
}

// mannered is one example under test.
type mannered struct {
	*Server
	operation
	Example
	key, reader string // for the operation, and to read what it changes
}

func (m mannered) check(idempotencyKey string) {
	promised := m.promises()
	if (promised == promises{}) {
		m.send(0, m.Body)
	}
	if promised.tag {
		m.tag()
	}
	if promised.csv {
		m.csv()
	}
	if promised.precondition {
		m.precondition()
	}
	if promised.once {
		m.once(idempotencyKey)
	}
}

// send fails unless the answer has the status; 0 stands for any that is no error.
func (m mannered) send(status int, body string, headers ...string) Answer {
	m.t.Helper()
	if body != "" && m.ContentType != "" {
		headers = append(headers, "Content-Type", m.ContentType)
	}
	a := m.Send(m.key, m.method, m.at(m.ID), body, headers...)
	if status == 0 && a.Status >= http.StatusBadRequest || status != 0 && a.Status != status {
		m.t.Fatalf("%q: %d %s, want %d", headers, a.Status, a.Text, status)
	}
	return a
}

func (m mannered) tag() {
	first := m.send(http.StatusOK, "")
	tag := first.Header.Get("ETag")
	if same := m.send(http.StatusNotModified, "", "If-None-Match", tag); len(same.Text) > 0 || same.Header.Get("ETag") != tag {
		m.t.Errorf("not modified: tag %q, was %q, body %q", same.Header.Get("ETag"), tag, same.Text)
	}
	if other := m.send(http.StatusOK, "", "If-None-Match", `"other"`); !bytes.Equal(other.Text, first.Text) {
		m.t.Errorf("with another tag %s, before %s", other.Text, first.Text)
	}
}

// csv compares with the JSON of the same list, which must not be empty, and
// looks for cells that a spreadsheet would take for a formula.
func (m mannered) csv() {
	list := m.send(http.StatusOK, "")
	items, _ := list.Body["items"].([]any)
	a := m.send(http.StatusOK, "", "Accept", "text/csv")
	rows, err := csv.NewReader(bytes.NewReader(a.Text)).ReadAll()
	if err != nil || len(items) == 0 || len(rows) != 1+len(items) || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
		m.t.Fatalf("%d rows of %s for %d of JSON, error %v", len(rows)-1, a.Header.Get("Content-Type"), len(items), err)
	}
	first, _ := items[0].(map[string]any)
	for name := range first {
		if !slices.Contains(rows[0], name) {
			m.t.Errorf("no column %s in %v", name, rows[0])
		}
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "@") {
				m.t.Errorf("a spreadsheet would compute %q", cell)
			}
		}
	}
}

func (m mannered) precondition() {
	tag := m.Send(m.reader, http.MethodGet, m.at(m.ID), "").Header.Get("ETag")
	m.send(http.StatusPreconditionRequired, m.Body)
	m.send(http.StatusPreconditionFailed, m.Body, "If-Match", `"other"`)
	changed := m.send(http.StatusOK, m.Body, "If-Match", tag).Header.Get("ETag")
	if changed == tag {
		m.t.Errorf("the change kept the tag %s", tag)
	}
	m.send(http.StatusPreconditionFailed, m.Other, "If-Match", tag)
	m.send(http.StatusOK, m.Other, "If-Match", changed)
}

func (m mannered) once(key string) {
	first := m.send(0, m.Body, "Idempotency-Key", key)
	again := m.send(first.Status, m.Body, "Idempotency-Key", key)
	for _, name := range []string{"Location", "ETag"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			m.t.Errorf("%s was %q, is %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	if !bytes.Equal(first.Text, again.Text) {
		m.t.Errorf("first %s, again %s", first.Text, again.Text)
	}
	m.send(http.StatusUnprocessableEntity, m.Other, "Idempotency-Key", key)
}
