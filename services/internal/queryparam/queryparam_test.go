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

func TestReaderDefaults(t *testing.T) {
	r := Of(url.Values{})
	if r.Limit() != DefaultLimit || r.After("list") != 0 || r.ID("id") != 0 || !r.Time("from").IsZero() || r.Err() != nil {
		t.Error("absent parameters are not the defaults")
	}
}
