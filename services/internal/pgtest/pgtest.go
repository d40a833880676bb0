// Package pgtest gives each test a PostgreSQL database of its own.
//
// `make test` starts one server for the whole run and names it in
// TEST_DATABASE_URL. Each schema is migrated once into a template database;
// a test gets a clone of it, which takes some 20 ms.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/migrate"
)

// lock keeps the test programs of several packages, which share the server,
// from making the same roles and templates at once.
const lock = 0x7067746573

// A Schema is what the databases of a package's tests look like.
type Schema struct {
	Owner, App string // roles as the bootstrap makes them
	Migrations fs.FS
}

// A Database is the database of one test.
type Database struct{ admin *url.URL }

// URL gives the connection URL of the role, password included.
func (d Database) URL(role string) string {
	u := *d.admin
	password, _ := u.User.Password()
	u.User = url.UserPassword(role, password)
	return u.String()
}

// New makes an empty database with the schema, dropped when the test ends. The
// roles of the schema, and the read-only roles of every domain, exist with the
// password of the server's superuser.
func New(t testing.TB, schema Schema) Database {
	t.Helper()
	admin := server(t)
	conn := connect(t, admin)
	template := schema.template(t, conn, admin)
	name := "test_" + strings.ToLower(rand.Text()[:12])
	exec(t, conn, `CREATE DATABASE `+name+` TEMPLATE `+template+` OWNER `+schema.Owner)
	t.Cleanup(func() {
		exec(t, connect(t, admin), `DROP DATABASE `+name+` WITH (FORCE)`)
	})
	own := *admin
	own.Path = "/" + name
	return Database{&own}
}

func server(t testing.TB) *url.URL {
	t.Helper()
	given := os.Getenv("TEST_DATABASE_URL")
	if given == "" {
		t.Fatal("TEST_DATABASE_URL is not set: run `make test/unit`, which starts a PostgreSQL, or name a superuser's URL of a server made for tests")
	}
	u, err := url.Parse(given)
	if err != nil {
		t.Fatalf("TEST_DATABASE_URL: %v", err)
	}
	return u
}

func connect(t testing.TB, u *url.URL) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), u.String())
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the test is over
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// template gives the name of the migrated template database, made when absent.
func (s Schema) template(t testing.TB, conn *pgx.Conn, admin *url.URL) string {
	t.Helper()
	name := "template_" + s.hash(t)
	exec(t, conn, `SELECT pg_advisory_lock($1)`, int64(lock))
	defer exec(t, conn, `SELECT pg_advisory_unlock($1)`, int64(lock))
	var exists bool
	if err := conn.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		t.Fatalf("look for the template: %v", err)
	}
	if exists {
		return name
	}
	password, _ := admin.User.Password()
	for _, role := range []string{s.Owner, s.App, "trino_ro", "grafana_ro", "notebook_ro"} {
		exec(t, conn, fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s LOGIN PASSWORD '%s'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`, role, password))
	}
	building := name + "_building"
	exec(t, conn, `DROP DATABASE IF EXISTS `+building)
	exec(t, conn, `CREATE DATABASE `+building+` OWNER `+s.Owner)
	own := *admin
	own.Path = "/" + building
	exec(t, connect(t, &own), `ALTER SCHEMA public OWNER TO `+s.Owner)
	if err := migrate.Up(Database{&own}.URL(s.Owner), s.Migrations); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	// CREATE DATABASE ... TEMPLATE needs a template without connections.
	exec(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, building)
	exec(t, conn, `ALTER DATABASE `+building+` RENAME TO `+name)
	return name
}

func (s Schema) hash(t testing.TB) string {
	t.Helper()
	sum := sha256.New()
	err := fs.WalkDir(s.Migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(s.Migrations, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text) //nolint:errcheck // a hash never fails to write
		return err
	})
	if err != nil {
		t.Fatalf("read the migrations: %v", err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}
