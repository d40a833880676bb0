package migrate

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
)

var files = fstest.MapFS{
	"000001_create_things.up.sql":   {Data: []byte(`CREATE TABLE things ()`)},
	"000001_create_things.down.sql": {Data: []byte(`DROP TABLE things`)},
}

// What migrations do to a database is tested where migrations are; here is what
// the program says when it cannot begin.
func TestMainSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, url string
		args      []string
		code      int
		says      string
	}{
		{"nothing", "postgres://a@127.0.0.1:1/b", nil, 2, "say what to do"},
		{"unknown", "postgres://a@127.0.0.1:1/b", []string{"sideways"}, 2, "sideways"},
		{"up with more", "postgres://a@127.0.0.1:1/b", []string{"up", "2"}, 2, "no argument"},
		{"down by words", "postgres://a@127.0.0.1:1/b", []string{"down", "two"}, 2, "two"},
		{"force without version", "postgres://a@127.0.0.1:1/b", []string{"force"}, 2, "version"},
		{"force by words", "postgres://a@127.0.0.1:1/b", []string{"force", "-1"}, 2, "-1"},
		{"no URL", "", []string{"up"}, 2, "DATABASE_URL is not set"},
		{"other URL", "mysql://a@127.0.0.1:1/b", []string{"up"}, 2, "PostgreSQL URL"},
		{"no server", "postgres://a@127.0.0.1:1/b?sslmode=disable", []string{"version"}, 3, "cannot reach"},
		{"help", "", []string{"--help"}, 0, "Exit codes"},
	} {
		t.Setenv("DATABASE_URL", c.url)
		var out bytes.Buffer
		if code := Main(t.Context(), "things-migrate", c.args, files, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d, saying %q: %s", c.name, code, c.code, c.says, out.String())
		}
	}
}
