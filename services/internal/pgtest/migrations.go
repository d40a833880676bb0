package pgtest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/internal/migrate"
)

// DownAndUp migrates down to nothing and up again, as an operator would. The
// database must look as before.
func (d Database) DownAndUp(t *testing.T, s Schema) {
	t.Helper()
	t.Setenv("DATABASE_URL", d.URL(s.Owner))
	before := d.Dump(t, s.Owner)
	program := strings.TrimSuffix(s.Owner, "_owner") + "-migrate"
	for _, args := range [][]string{{"down", "all"}, {"up"}} {
		var out bytes.Buffer
		if code := migrate.Main(t.Context(), program, args, s.Migrations, &out, &out); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, out.String())
		}
	}
	if diff := cmp.Diff(before, d.Dump(t, s.Owner)); diff != "" {
		t.Errorf("the schema differs after down and up (-before +after):\n%s", diff)
	}
}

// Rights are the roles that may run each statement.
type Rights map[string][]string

// HasRights tries every statement as the app and as every reader: who is not
// named with it must be refused.
func (d Database) HasRights(t *testing.T, s Schema, rights Rights) {
	t.Helper()
	if len(rights) == 0 {
		t.Fatal("no rights to check")
	}
	for statement, may := range rights {
		for _, role := range []string{s.App, "trino_ro", "grafana_ro", "notebook_ro"} {
			if got, want := d.Allowed(t, role, statement), slices.Contains(may, role); got != want {
				t.Errorf("%s as %s: allowed %v, want %v", statement, role, got, want)
			}
		}
	}
}

// IsCommented wants a comment on everything that has a name, so that people
// find the meaning where they find the data.
func (d Database) IsCommented(t *testing.T, s Schema) {
	t.Helper()
	var columns, silent int
	err := d.Connect(t, s.Owner).QueryRow(context.Background(), `
		SELECT count(*), count(*) FILTER (WHERE col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
		  FROM pg_class AS c
		  JOIN pg_namespace AS n ON n.oid = c.relnamespace
		  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		 WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		   AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'`).Scan(&columns, &silent)
	if err != nil || columns == 0 || silent > 0 {
		t.Errorf("%d of %d columns, or their tables, have no comment; error %v", silent, columns, err)
	}
}
