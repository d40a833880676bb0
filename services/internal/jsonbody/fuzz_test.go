package jsonbody

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// What is accepted is one JSON value; what is refused is a problem of the caller's.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{`{"name":"a","count":2}`, `{"name":1}`, `{"nam":""}`, `{`, ``, `null`, `{} {}`, `{"count":1e400}`, "\xef\xbb\xbf{}", `{"name":"\ud800"}`, `[[[[[[`} {
		f.Add("application/json", body)
	}
	f.Add("text/csv", "a,b")
	f.Add("application/json; charset=utf-16", "{}")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		if strings.ContainsAny(contentType, "\r\n\x00") {
			return // no header can hold it
		}
		_, err := decodeBody(contentType, body)
		if err == nil {
			if !json.Valid([]byte(body)) {
				t.Errorf("%q is accepted", body)
			}
			return
		}
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status < 400 || p.Status > 499 {
			t.Errorf("%q: %v", body, err)
		}
	})
}
