package database_test

import (
	"context"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// A program that was given the new password connects before and after PostgreSQL
// gets it.
func TestPasswordIsRotated(t *testing.T) {
	const role = "rotated_owner"
	db := pgtest.New(t, pgtest.Schema{Owner: role, App: "rotated_app", Migrations: fstest.MapFS{
		"000001_nothing.up.sql": {Data: []byte("SELECT 1;")}, "000001_nothing.down.sql": {Data: []byte("SELECT 1;")},
	}})
	address, err := url.Parse(db.URL(role))
	if err != nil {
		t.Fatal(err)
	}
	old, _ := address.User.Password()
	owner := db.Connect(t, role)
	t.Cleanup(func() {
		if _, err := owner.Exec(context.Background(), `ALTER ROLE `+role+` PASSWORD '`+old+`'`); err != nil {
			t.Log(err) // a new server is made for each run
		}
	})
	address.User = url.User(role)
	t.Setenv("PGPASSWORD", "the-next-one")
	open := func(want bool) {
		t.Helper()
		pool, err := database.Open(t.Context(), address.String(), "test")
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := pool.Ping(t.Context()); (err == nil) != want {
			t.Errorf("connects: %v, want %v", err, want)
		}
	}
	open(false)
	t.Setenv("PGPASSWORD_PREVIOUS", old)
	open(true)

	before, err := database.Open(t.Context(), address.String(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := before.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Exec(t.Context(), `ALTER ROLE `+role+` PASSWORD 'the-next-one'`); err != nil {
		t.Fatal(err)
	}
	before.Reset() // its next connection is a new one
	if err := before.Ping(t.Context()); err != nil {
		t.Errorf("a program that began with the previous password: %v", err)
	}
	open(true)
	t.Setenv("PGPASSWORD_PREVIOUS", "")
	open(true)
}
