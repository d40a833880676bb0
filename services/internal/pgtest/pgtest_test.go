package pgtest

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"
)

var schema = Schema{Owner: "sales_owner", App: "sales_app", Migrations: fstest.MapFS{
	"000001_create_things.up.sql":   {Data: []byte(`CREATE TABLE things (thing_id int PRIMARY KEY); GRANT SELECT ON things TO sales_app, trino_ro;`)},
	"000001_create_things.down.sql": {Data: []byte(`DROP TABLE things;`)},
}}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := New(t, schema), New(t, schema)
	exec(t, one.Connect(t, "sales_owner"), `INSERT INTO things VALUES (1)`)
	var rows int
	if err := two.Connect(t, "sales_app").QueryRow(context.Background(), `SELECT count(*) FROM things`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("the second database has %d rows, error %v", rows, err)
	}
}

func TestAllowedAndDumpSeeGrants(t *testing.T) {
	t.Parallel()
	db := New(t, schema)
	if !db.Allowed(t, "trino_ro", `SELECT * FROM things`) {
		t.Error("trino_ro may not read")
	}
	if db.Allowed(t, "trino_ro", `INSERT INTO things VALUES (2)`) {
		t.Error("trino_ro may write")
	}
	before := db.Dump(t, "sales_owner")
	exec(t, db.Connect(t, "sales_owner"), `REVOKE SELECT ON things FROM trino_ro`)
	if after := db.Dump(t, "sales_owner"); after == before || !strings.Contains(before, "things") {
		t.Errorf("the dump does not show a revoked right:\n%s", after)
	}
}
