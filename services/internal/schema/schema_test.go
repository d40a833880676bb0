package schema_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/schema"
)

func TestCheck(t *testing.T) {
	files := fstest.MapFS{
		"000001_create_things.up.sql":   {Data: []byte(`CREATE TABLE things (thing_id int)`)},
		"000001_create_things.down.sql": {Data: []byte(`DROP TABLE things`)},
		"000002_show_version.up.sql":    {Data: []byte(`GRANT SELECT ON schema_migrations TO sales_app`)},
		"000002_show_version.down.sql":  {Data: []byte(`REVOKE SELECT ON schema_migrations FROM sales_app`)},
	}
	db := pgtest.New(t, pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: files})
	app, owner := db.Connect(t, "sales_app"), db.Connect(t, "sales_owner")
	s := schema.Schema{Migrator: "sales-migrate", Files: files}
	if err := s.Check(t.Context(), app); err != nil {
		t.Fatalf("the right version: %v", err)
	}
	for _, c := range []struct{ sql, says, command string }{
		{`UPDATE schema_migrations SET version = 1`, "needs version 2", "run: sales-migrate up"},
		{`UPDATE schema_migrations SET version = 4`, "newer than version 2", "sales-migrate down 2"},
		{`UPDATE schema_migrations SET dirty = true`, "migration 4 did not end", "run: sales-migrate force 3 && sales-migrate up"},
		{`REVOKE SELECT ON schema_migrations FROM sales_app`, "older than version 2", "run: sales-migrate up"},
		{`DROP TABLE schema_migrations`, "no schema yet", "run: sales-migrate up"},
	} {
		if _, err := owner.Exec(t.Context(), c.sql); err != nil {
			t.Fatal(err)
		}
		err := s.Check(t.Context(), app)
		var mismatch schema.Mismatch
		if !errors.As(err, &mismatch) || !strings.Contains(mismatch.Explain(), c.says) || !strings.Contains(mismatch.Explain(), c.command) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mismatch schema.Mismatch
	if err := s.Check(t.Context(), app); err == nil || errors.As(err, &mismatch) {
		t.Errorf("a database that does not answer: %v", err)
	}
	for _, files := range []fstest.MapFS{{}, {"one.up.sql": {}}} {
		if err := (schema.Schema{Files: files}).Check(t.Context(), app); err == nil || errors.As(err, &mismatch) {
			t.Errorf("%v: %v", files, err)
		}
	}
}
