package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

// endless computes for as long as it is let, in all of Trino's threads.
const endless = `SELECT count(*) FROM TABLE(sequence(1, 1000000)) a CROSS JOIN TABLE(sequence(1, 1000000)) b
	WHERE a.sequential_number % 7 = b.sequential_number % 5`

// runaway starts a whole mesh and asks the Sales API for customers at a steady
// rate, with alex's endless queries, as many as the policy lets run, and without.
func runaway(ctx context.Context, r *rig) (s samples, err error) {
	mesh, err := meshrun.Up(ctx, r.bin, "--scale", "small", "--profile", "core")
	if mesh != nil {
		defer func() { err = errors.Join(err, mesh.Down()) }()
	}
	if err != nil {
		return s, err
	}
	key, err := mesh.Run(ctx, "credentials", "sales-reader")
	if err != nil {
		return s, err
	}
	port, err := mesh.Port(topology.PortSalesAPI)
	if err != nil {
		return s, err
	}
	l := load{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), connections: 4, status: "200"}
	for id := range 100 {
		l.requests = append(l.requests, request("GET", fmt.Sprintf("/v1/customers/%d", id+1), strings.TrimSpace(key), nil))
	}
	const rate = 100 // half of what one key is let
	rounds, length := r.rounds(5, 10*time.Second)
	s = samples{values: map[string][]float64{}, unit: "ms"}
	for n := -1; n < rounds; n++ { // the first warms up
		quiet, err := l.open(ctx, rate, length)
		if err != nil {
			return s, err
		}
		stop, err := startEndless(ctx, mesh)
		if err != nil {
			return s, err
		}
		busy, err := l.open(ctx, rate, length)
		if err = errors.Join(err, stop()); err != nil {
			return s, err
		}
		if n < 0 {
			continue
		}
		const p95 = 0.95
		ms := func(o outcome) float64 { return float64(o.quantile(p95).Microseconds()) / 1000 }
		s.values["runaway"] = append(s.values["runaway"], ms(busy)/ms(quiet))
		s.ours, s.theirs = append(s.ours, ms(busy)), append(s.theirs, ms(quiet))
	}
	return s, nil
}

// startEndless returns when alex's queries run; stop cancels them. One that
// ends by itself is an error.
func startEndless(ctx context.Context, mesh *meshrun.Mesh) (stop func() error, err error) {
	alex, err := connectTrino(ctx, mesh, "alex")
	if err != nil {
		return nil, err
	}
	mike, err := connectTrino(ctx, mesh, "mike")
	if err != nil {
		return nil, errors.Join(err, alex.Close())
	}
	running, cancel := context.WithCancel(ctx)
	const queries = 3
	ended := make(chan error, queries)
	for range queries {
		go func() {
			err := execute(running, alex, endless)
			if running.Err() == nil {
				err = fmt.Errorf("an endless query has ended: %w", err)
			} else {
				err = nil
			}
			ended <- err
		}()
	}
	stop = func() error {
		cancel()
		var errs []error
		for range queries {
			errs = append(errs, <-ended)
		}
		return errors.Join(append(errs, alex.Close(), mike.Close())...)
	}
	if err := awaitRunning(ctx, mike, queries); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func awaitRunning(ctx context.Context, mike *query.Client, queries int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		rows, err := mike.Texts(ctx, `SELECT count(*) FROM system.runtime.queries WHERE "user" = 'alex' AND state = 'RUNNING'`)
		if err != nil {
			return err
		}
		if rows[0][0] == strconv.Itoa(queries) {
			return nil
		}
	}
}
