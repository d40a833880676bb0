package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/demo"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// A new Trino compiles its code while it works: the first runs of a query take
// seconds, and only what has become fast is worth being called ready. A slow
// machine is not waited for for ever.
const (
	warmEnough  = time.Second
	warmUpTries = 6
)

// warmUp runs the federated query, Q1 of docs/design.md, as a service user until it is fast.
func warmUp(m state.Mesh, store *secrets.Store) local.WarmUp {
	return func(ctx context.Context) error {
		for range warmUpTries {
			begin := time.Now()
			if _, err := countFederated(ctx, m, store); err != nil {
				return err
			}
			if time.Since(begin) < warmEnough {
				break
			}
		}
		return nil
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
	defer func() { _ = client.Close() }()
	rows, err := client.Query(ctx, "SELECT count(*) FROM (\n"+demo.Queries()[0].SQL+"\n)", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
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
