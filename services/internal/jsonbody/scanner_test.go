package jsonbody

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestScannerPointsAtNulls(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "", `[]`: "", `1`: "", `"null"`: "", `-1.5e3`: "", ` [ 1 , {"a" : [ ] } ] `: "",
		`null`:                          "",
		`{"a/b":[1,{"c~":null},null] }`: "/a~1b/1/c~0 /a~1b/2",
		`{"\"":null,"a\\":{"b":null}}`:  `/" /a\/b`,
	} {
		s := scanner{text: []byte(text)}
		s.value()
		got := strings.Join(slices.Sorted(maps.Keys(s.nulls)), " ")
		if got != want || s.twice != "" || (text == "null") != (len(s.nulls) == 1 && got == "") {
			t.Errorf("%s: nulls at %q, twice %q; want %q", text, got, s.twice, want)
		}
	}
}

// Every valid text is walked to its end, and as many nulls are found as a plain
// reading finds where no name comes twice.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{`{"a":[null,{"b":null}],"c":"\"null"}`, `[[[]]]`, `{"a":1,"A":2}`, ` -1.5e+3 `, `"\\"`, `{"":{"":null}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		if json.Unmarshal(text, &value) != nil || len(text) > 1<<16 {
			t.Skip("not JSON")
		}
		s := scanner{text: text}
		s.value()
		s.space()
		if s.at != len(text) {
			t.Fatalf("%q: walked to %d of %d", text, s.at, len(text))
		}
		if s.twice == "" && len(s.nulls) != nulls(value) {
			t.Errorf("%q: nulls at %v", text, s.nulls)
		}
	})
}

func nulls(value any) (n int) {
	switch v := value.(type) {
	case nil:
		return 1
	case []any:
		for _, item := range v {
			n += nulls(item)
		}
	case map[string]any:
		for _, item := range v {
			n += nulls(item)
		}
	}
	return n
}
