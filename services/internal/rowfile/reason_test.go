package rowfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/problem"
)

type checked map[string]string

func (c checked) Validate() map[string]string { return c }

func TestReason(t *testing.T) {
	for _, c := range []struct {
		value checked
		err   error
		want  string
	}{
		{nil, nil, ""},
		{checked{"/b": "is wrong", "/a": "is too"}, nil, "a is too; b is wrong"},
		{nil, errLong, "the row is longer than 65536 bytes; only its beginning is kept"},
		{nil, errors.New("is bad"), "the row is bad"},
		{nil, problem.New(400, "x", "The text is empty."), "The text is empty."},
		{nil, problem.Invalid(map[string]string{"": "must be an object"}), "the row must be an object"},
		{nil, problem.Invalid(map[string]string{"/" + strings.Repeat("é", 1000): "is not known"}), strings.Repeat("é", 250) + " …"},
	} {
		if got := Reason(c.value, c.err); got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.value, c.err, got, c.want)
		}
	}
}

func TestOpenKnowsTheFormatByTheName(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]Format{"a.csv": CSV, "a.ndjson": NDJSON, "a.jsonl": NDJSON, "a.xlsx": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		file, format, err := Open(path)
		if format != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", name, format, err)
		}
		if file != nil {
			file.Close() //nolint:errcheck // read only
		}
	}
	if _, _, err := Open(filepath.Join(dir, "none.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
