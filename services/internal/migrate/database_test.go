package migrate_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/datameesh/datameesh/services/internal/migrate"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

const owner = "sales_owner"

// newDatabase makes a database without any migration.
func newDatabase(t *testing.T) pgtest.Database {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Owner: owner, App: "sales_app", Migrations: fstest.MapFS{
		"000001_do_nothing.up.sql":   {Data: []byte(`SELECT 1`)},
		"000001_do_nothing.down.sql": {Data: []byte(`SELECT 1`)},
	}})
	exec(t, db, `DROP TABLE schema_migrations`)
	t.Setenv("DATABASE_URL", db.URL(owner))
	return db
}

func exec(t *testing.T, db pgtest.Database, sql string) {
	t.Helper()
	if _, err := db.Connect(t, owner).Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func things(statements ...string) fstest.MapFS {
	return fstest.MapFS{
		"000001_create_things.up.sql":   {Data: []byte(`BEGIN; CREATE TABLE things (thing_id int); COMMIT;`)},
		"000001_create_things.down.sql": {Data: []byte(`BEGIN; DROP TABLE things; COMMIT;`)},
		"000002_add_names.up.sql":       {Data: []byte("BEGIN;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;")},
		"000002_add_names.down.sql":     {Data: []byte(`BEGIN; ALTER TABLE things DROP COLUMN name; COMMIT;`)},
	}
}

func run(t *testing.T, files fstest.MapFS, args ...string) (code int, says string) {
	var out bytes.Buffer
	code = migrate.Main(t.Context(), "things-migrate", args, files, &out, &out)
	return code, out.String()
}

// Four migrators at once: one applies each migration, all end well.
func TestFourMigratorsAtOnce(t *testing.T) {
	db := newDatabase(t)
	// Slow, so that the others wait; a second run would fail, the table being there.
	files := things(`ALTER TABLE things ADD COLUMN name text`, `SELECT pg_sleep(0.3)`)
	for round := range 5 {
		var migrators sync.WaitGroup
		for i := range 4 {
			migrators.Go(func() {
				if code, says := run(t, files, "up"); code != 0 {
					t.Errorf("round %d, migrator %d: exit code %d: %s", round, i, code, says)
				}
			})
		}
		migrators.Wait()
		if code, says := run(t, files, "version"); code != 0 || says != "2\n" {
			t.Errorf("round %d: version %q, exit code %d", round, says, code)
		}
		exec(t, db, `DROP TABLE things, schema_migrations`)
	}
}

// A migrator waits for another for longer than for a table.
func TestMigratorWaitsForAnother(t *testing.T) {
	newDatabase(t)
	files := things(`ALTER TABLE things ADD COLUMN name text`, `SELECT pg_sleep(7)`)
	var migrators sync.WaitGroup
	for range 2 {
		migrators.Go(func() {
			if code, says := run(t, files, "up"); code != 0 {
				t.Errorf("exit code %d: %s", code, says)
			}
		})
	}
	migrators.Wait()
}

var command = regexp.MustCompile(`run: things-migrate force (\d+) && things-migrate up`)

// A migration that fails in its second statement leaves nothing but the mark,
// every command says how to mend it, and what it says mends it.
func TestDirtyStateIsMendedByTheCommandInTheMessage(t *testing.T) {
	db := newDatabase(t)
	bad := things(`ALTER TABLE things ADD COLUMN name text`, `ALTER TABLE nothing ADD COLUMN name text`, `SELECT 1`)
	var says string
	for _, args := range [][]string{{"up"}, {"up"}, {"version"}, {"down"}} {
		var code int
		if code, says = run(t, bad, args...); code != 1 || command.FindStringSubmatch(says) == nil {
			t.Fatalf("%v: exit code %d: %s", args, code, says)
		}
	}
	version := command.FindStringSubmatch(says)[1]
	good := things(`ALTER TABLE things ADD COLUMN name text`)
	if code, says := run(t, good, "force", version); code != 0 {
		t.Fatalf("force: exit code %d: %s", code, says)
	}
	if code, says := run(t, good, "up"); code != 0 || !strings.HasSuffix(says, "2\n") {
		t.Fatalf("up: exit code %d: %s", code, says)
	}
	exec(t, db, `SELECT name FROM things`)
}

func TestForceToEmpty(t *testing.T) {
	newDatabase(t)
	files := things(`ALTER TABLE things ADD COLUMN name text`)
	files["000001_create_things.up.sql"] = &fstest.MapFile{Data: []byte(`BEGIN; CREATE TABLE things (thing_id nothing); COMMIT;`)}
	code, says := run(t, files, "up")
	if found := command.FindStringSubmatch(says); code != 1 || found == nil || found[1] != "0" {
		t.Fatalf("exit code %d: %s", code, says)
	}
	if code, says := run(t, files, "force", "0"); code != 0 || says != "0\n" {
		t.Fatalf("exit code %d: %s", code, says)
	}
	if code, says := run(t, things(`ALTER TABLE things ADD COLUMN name text`), "up"); code != 0 {
		t.Fatalf("exit code %d: %s", code, says)
	}
}

// A session that is idle in a transaction holds a table: the migration gives up
// after seconds, instead of making everybody wait behind it.
func TestMigrationGivesUpWaitingForATable(t *testing.T) {
	db := newDatabase(t)
	files := things(`ALTER TABLE things ADD COLUMN name text`)
	exec(t, db, `CREATE TABLE things (thing_id int)`)
	if code, says := run(t, files, "force", "1"); code != 0 {
		t.Fatal(says)
	}
	idle, err := db.Connect(t, owner).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Exec(t.Context(), `SELECT FROM things`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	code, says := run(t, files, "up")
	if took := time.Since(began); code != 1 || took > 30*time.Second || !strings.Contains(says, "lock timeout") || !strings.Contains(says, "force 1 && ") {
		t.Errorf("exit code %d after %v: %s", code, took, says)
	}
	if err := idle.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"force", "1"}, {"up"}} {
		if code, says := run(t, files, args...); code != 0 {
			t.Errorf("%s: exit code %d: %s", fmt.Sprint(args), code, says)
		}
	}
}
