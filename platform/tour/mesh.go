package tour

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/bootstrap"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// A Mesh is the running mesh that a tour goes through.
type Mesh struct {
	state.Mesh
	Secrets *secrets.Store
}

// address is where the mesh has a page of the topology.
func (m Mesh) address(port int) string { return "http://localhost:" + strconv.Itoa(m.Port(port)) }

// ask asks a database directly, not through anything that a tour tries, for one
// row of text.
func (m Mesh) ask(ctx context.Context, server, database, role, sql string) ([]string, error) {
	s, ok := topology.ServerNamed(server)
	if !ok {
		return nil, fmt.Errorf("no server %s in the topology", server)
	}
	password, err := m.Secrets.Role(server, role)
	if err != nil {
		return nil, err
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port(s.Port))), RawQuery: "sslmode=disable&connect_timeout=10",
	}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if database == topology.DatabaseVerify { // which knows the domains' tables as they were
		if err := bootstrap.ImportForeignTables(ctx, conn); err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
	}
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) ([]string, error) {
		values, err := row.Values()
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = fmt.Sprint(v)
		}
		return texts, err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	return row, nil
}
