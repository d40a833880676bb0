package jsonbody

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/problem"
)

type thing struct {
	Name  string       `json:"name"`
	Count int          `json:"count"`
	Parts []thing      `json:"parts"`
	At    time.Time    `json:"at"`
	Price money.Amount `json:"price"`
}

func decodeBody(contentType, body string) (thing, error) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	var got thing
	err := Decode(httptest.NewRecorder(), r, 64, &got)
	return got, err
}

func TestDecodeReadsOneValue(t *testing.T) {
	got, err := decodeBody("application/json; charset=utf-8", ` {"name":"a","count":2} `)
	if err != nil || !reflect.DeepEqual(got, thing{Name: "a", Count: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"form", "application/x-www-form-urlencoded", `{}`, 415, "application/json"},
		{"UTF-16", "application/json; charset=utf-16", `{}`, 415, "UTF-8"},
		{"no type", "", `{}`, 415, "application/json"},
		{"empty", "application/json", ``, 400, "empty"},
		{"cut off", "application/json", `{"name":`, 400, "middle"},
		{"not JSON", "application/json", `name=a`, 400, "byte"},
		{"two values", "application/json", `{} {}`, 400, "byte 3"},
		{"lone surrogate", "application/json", `{"name":"\ud800"}`, 400, "pair at byte 9"},
		{"too large", "application/json", `{"name":"` + strings.Repeat("x", 100) + `"}`, 413, "64"},
		{"invalid UTF-8", "application/json", "{\"name\":\"\xff\"}", 400, "UTF-8"},
		{"named twice", "application/json", `{"name":"a","name":"b"}`, 400, "/name"},
		{"named twice, once escaped", "application/json", `{"name":"a", "\u006eame" : "b"}`, 400, "/name"},
		{"other letters", "application/json", `{"Name":"a"}`, 422, "/Name is not a known field"},
		{"null", "application/json", `{"name":null,"count":1}`, 422, "/name must not be null"},
		{"nulls deep inside", "application/json", `{"parts":[{"name":null}]}`, 422, "/parts/0/name must not be null"},
		{"nothing but null", "application/json", ` null `, 422, "must not be null"},
		{"unknown field", "application/json", `{"title":"a"}`, 422, "/title"},
		{"wrong type", "application/json", `{"count":"two"}`, 422, "/count must be a whole number, not a string"},
		{"wrong type deep inside", "application/json", `{"parts":[{},{"count":{}}]}`, 422, "/parts/1/count must be a whole number, not an object"},
		{"fraction", "application/json", `{"count":1.5}`, 422, "/count must be a whole number, without"},
		{"too large a number", "application/json", `{"count":99999999999999999999}`, 422, "/count must be a whole number, without"},
		{"no time", "application/json", `{"at":"yesterday"}`, 422, "/at must be a time such as"},
		{"no amount", "application/json", `{"price":"1"}`, 422, "/price not an amount"},
	} {
		_, err := decodeBody(c.contentType, c.body)
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status != c.status {
			t.Errorf("%s: %v, want status %d", c.name, err, c.status)
			continue
		}
		text := p.Detail
		for _, f := range p.Fields {
			text += " " + f.Pointer + " " + f.Detail
		}
		if !strings.Contains(text, c.says) {
			t.Errorf("%s: %q does not say %q", c.name, text, c.says)
		}
	}
}

// A compressed body is not unpacked: a bomb stays as small as it was sent.
func TestDecodeUnpacksNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("\x1f\x8b"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	var got thing
	var p *problem.Problem
	if err := Decode(httptest.NewRecorder(), r, 64, &got); !errors.As(err, &p) || p.Status != 415 {
		t.Errorf("got %v", err)
	}
}

func TestUnmarshalIsAsStrict(t *testing.T) {
	var got thing
	if err := Unmarshal([]byte(`{"name":"a","count":2}`), &got); err != nil || !reflect.DeepEqual(got, thing{Name: "a", Count: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		``:                "400 The text is empty; a JSON value is expected.",
		`{} {}`:           "400 The text is not JSON: invalid character '{' after top-level value at byte 3.",
		`{"name":`:        "400 The text ends in the middle of a JSON value.",
		`[]`:              "422 : must be an object, not a list",
		`{"count":"two"}`: "422 /count: must be a whole number, not a string",
		`{"title":1}`:     "422 /title: is not a known field",
	} {
		var p *problem.Problem
		if err := Unmarshal([]byte(text), &got); !errors.As(err, &p) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		says := fmt.Sprintf("%d %s", p.Status, p.Detail)
		if len(p.Fields) > 0 {
			says = fmt.Sprintf("%d %s: %s", p.Status, p.Fields[0].Pointer, p.Fields[0].Detail)
		}
		if says != want {
			t.Errorf("%s: %q, want %q", text, says, want)
		}
	}
}
