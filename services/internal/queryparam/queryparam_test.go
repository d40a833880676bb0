package queryparam

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/internal/keyset"
	"github.com/datameesh/datameesh/services/internal/problem"
)

func TestReaderReads(t *testing.T) {
	values, err := url.ParseQuery("region=EMEA&id=7&from=2026-11-23&to=2026-11-23T01:00:00%2B01:00&limit=5&cursor=" + keyset.Encode("list", 9))
	if err != nil {
		t.Fatal(err)
	}
	r := Of(values)
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	if got := r.OneOf("region", "AMER", "EMEA"); got != "EMEA" {
		t.Errorf("region %q", got)
	}
	if got := r.ID("id"); got != 7 {
		t.Errorf("id %d", got)
	}
	if got := r.Time("from"); !got.Equal(day) {
		t.Errorf("from %v", got)
	}
	if got := r.Time("to"); !got.Equal(day) {
		t.Errorf("to %v", got)
	}
	if got := r.Limit(); got != 5 {
		t.Errorf("limit %d", got)
	}
	if got := r.After("list"); got != 9 {
		t.Errorf("cursor %d", got)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestReaderNamesEveryMistakeAtOnce(t *testing.T) {
	r := Of(url.Values{"region": {"MOON"}, "id": {"-1"}, "from": {"yesterday"}, "limit": {"0"}, "cursor": {"x"}, "q": {"a", "b"}, "colour": {"red"}})
	r.OneOf("region", "EMEA")
	r.ID("id")
	r.Time("from")
	r.Limit()
	r.After("list")
	r.String("q")
	var p *problem.Problem
	if err := r.Err(); !errors.As(err, &p) || p.Status != 400 {
		t.Fatalf("got %v", err)
	}
	var names []string
	for _, f := range p.Fields {
		names = append(names, f.Pointer)
	}
	if len(names) != 7 {
		t.Errorf("named %v", names)
	}
}

// An empty parameter is no absent one: ?region= would else list all regions.
func TestReaderRefusesEmptyParameters(t *testing.T) {
	for name, read := range map[string]func(*Reader){
		"region": func(r *Reader) { r.OneOf("region", "EMEA") }, "email": func(r *Reader) { r.String("email") }, "id": func(r *Reader) { r.ID("id") },
		"from": func(r *Reader) { r.Time("from") }, "limit": func(r *Reader) { r.Limit() }, "cursor": func(r *Reader) { r.After("list") },
	} {
		r := Of(url.Values{name: {""}})
		read(r)
		if r.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestReaderKeepsToItsYears(t *testing.T) {
	for value, right := range map[string]bool{
		"1000-01-01": true, "9999-12-31": true, "2024-02-29": true, "9999-12-31T23:59:59Z": true,
		"0000-01-01": false, "0001-01-01": false, "0001-01-01T00:00:00Z": false, "0999-12-31": false, "10000-01-01": false, "9999-12-31T23:59:59-01:00": false,
		"2026-02-29": false, "2026-11-23T08:30:60Z": false, "2026-11-23T08:30:00": false, "2026-11-23 08:30:00Z": false,
	} {
		r := Of(url.Values{"from": {value}})
		if got := r.Time("from"); got.IsZero() == right || (r.Err() == nil) != right {
			t.Errorf("%s: %v, %v", value, got, r.Err())
		}
	}
}

func TestReaderDefaults(t *testing.T) {
	r := Of(url.Values{})
	if r.Limit() != DefaultLimit || r.After("list") != 0 || r.ID("id") != 0 || !r.Time("from").IsZero() || r.Err() != nil {
		t.Error("absent parameters are not the defaults")
	}
}
