package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// federatedQuery joins the two domains: Q1 of docs/design.md.
const federatedQuery = `SELECT count(*) FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email`

// warmUp runs the federated query as a service user.
func warmUp(d state.Dir, m state.Mesh, store *secrets.Store) local.WarmUp {
	return func(ctx context.Context) error {
		_, err := countFederated(ctx, m, store)
		return err
	}
}

// countFederated returns the number that the federated query finds.
func countFederated(ctx context.Context, m state.Mesh, store *secrets.Store) (int64, error) {
	const user = "verify"
	ca, err := store.CA()
	if err != nil {
		return 0, err
	}
	password, err := store.Person(user)
	if err != nil {
		return 0, err
	}
	client, err := query.New(query.Config{
		Address: net.JoinHostPort("localhost", strconv.Itoa(m.Port(topology.PortTrino))),
		CA:      ca, User: user, Password: password, Source: "meesh up",
	})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	rows, err := client.Query(ctx, federatedQuery, nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var count int64
	for rows.Next(ctx) {
		n, ok := rows.Values()[0].(int64)
		if !ok {
			return 0, fmt.Errorf("the federated query returned %T, not a number", rows.Values()[0])
		}
		count = n
	}
	return count, rows.Err()
}
