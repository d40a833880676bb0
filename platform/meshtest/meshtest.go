// Package meshtest leads tests to the mesh that runs in $MEESH_HOME.
package meshtest

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// A Mesh that runs.
type Mesh struct {
	state.Mesh
	Store *secrets.Store
	CA    []byte // certificate that Trino's is signed by, PEM
	t     testing.TB
}

// Running gives the mesh of $MEESH_HOME; without one the test fails.
func Running(t testing.TB) *Mesh {
	t.Helper()
	folder, err := state.Find()
	if err != nil {
		t.Fatal(err)
	}
	mesh, err := state.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	store, err := secrets.Open(folder.Secrets())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := store.CA()
	if err != nil {
		t.Fatal(err)
	}
	return &Mesh{mesh, store, ca, t}
}

// Trino is the address of the coordinator, host:port.
func (m *Mesh) Trino() string {
	return net.JoinHostPort("localhost", strconv.Itoa(m.Port(topology.PortTrino)))
}

// Password of a person or service user.
func (m *Mesh) Password(name string) string {
	m.t.Helper()
	password, err := m.Store.Person(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return password
}

// Connect opens a connection to a database as the role, closed when the test ends.
func (m *Mesh) Connect(server, database, role string) *pgx.Conn {
	m.t.Helper()
	s, ok := topology.ServerNamed(server)
	if !ok {
		m.t.Fatalf("no server %s", server)
	}
	password, err := m.Store.Role(server, role)
	if err != nil {
		m.t.Fatal(err)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port(s.Port))), RawQuery: "sslmode=disable"}
	conn, err := pgx.Connect(context.Background(), u.String())
	if err != nil {
		m.t.Fatalf("%s as %s: %v", database, role, err)
	}
	m.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
