package seed

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/marketing/migrations"
)

func TestAFileOfLeadsIsLoadedOnce(t *testing.T) {
	db := pgtest.New(t, pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: migrations.Files})
	t.Setenv("DATABASE_URL", db.URL("marketing_owner"))
	owner := db.Connect(t, "marketing_owner")
	if _, err := owner.Exec(t.Context(), `INSERT INTO campaigns (campaign_name, channel, budget, starts_on) VALUES ('A', 'Email', 1, '2026-01-01')`); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "leads.csv")
	text := "email,full_name,source,campaign_id,external_id\na@example.com,Alice,Website,1,\nnone,Bob,Website,1,\nc@example.com,Carol,Website,1,x\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := func(want int, args ...string) string {
		t.Helper()
		var out, talk bytes.Buffer
		if code := seeding.Main(t.Context(), Domain, args, &out, &talk); code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, talk.String())
		}
		return out.String()
	}
	if got := seed(0, "--from", path); got != "stored 2\nknown 0\nbad 1\n" {
		t.Errorf("first: %q", got)
	}
	if got := seed(0, "--from", path); got != "stored 0\nknown 2\nbad 1\n" {
		t.Errorf("again: %q", got)
	}
	longer := filepath.Join(t.TempDir(), "longer.csv")
	if err := os.WriteFile(longer, []byte(strings.Replace(text, "a@example.com,Alice", "d@example.com,Dora", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := seed(0, "--from", longer); got != "stored 1\nknown 1\nbad 1\n" {
		t.Errorf("another file: %q", got)
	}
	var leads, letters int
	if err := owner.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM leads), (SELECT count(*) FROM lead_dead_letters)`).Scan(&leads, &letters); err != nil || leads != 3 || letters != 2 {
		t.Errorf("%d leads, %d dead letters, error %v", leads, letters, err)
	}
	seed(2, "--from", filepath.Join(t.TempDir(), "none.csv"))
	seed(2, "--from", path, "--scale", "small")
	if err := os.WriteFile(longer, []byte("name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seed(1, "--from", longer)
	t.Setenv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none?sslmode=disable")
	seed(3, "--from", path)
}
