package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

// dbtRuns starts a whole mesh with the demo data. It compares a full run of the
// models by dbt with the statements that dbt has compiled, run one after the
// other over one connection, and takes the time of a whole build: models, tests
// and publishing.
func dbtRuns(ctx context.Context, r *rig) (s samples, err error) {
	scale := "demo"
	if r.short {
		scale = "small"
	}
	mesh, err := meshrun.Up(ctx, r.bin, "--scale", scale)
	if mesh != nil {
		defer func() { err = errors.Join(err, mesh.Down()) }()
	}
	if err != nil {
		return s, err
	}
	trino, err := connectTrino(ctx, mesh, "dbt") // as dbt does
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, trino.Close()) }()

	s = samples{values: map[string][]float64{}, unit: "s"}
	rounds, _ := r.rounds(3, 0)
	for n := -1; n < rounds; n++ {
		run, err := timed(func() error { _, err := mesh.Run(ctx, "dbt", "run", "--full-refresh"); return err })
		if err != nil {
			return s, err
		}
		direct, err := runCompiled(ctx, trino, dbt.Results(mesh.Home.DBT()))
		if err != nil {
			return s, err
		}
		if n < 0 {
			continue
		}
		build, err := timed(func() error { _, err := mesh.Run(ctx, "dbt", "build"); return err })
		if err != nil {
			return s, err
		}
		s.values["dbt-run"] = append(s.values["dbt-run"], run/direct)
		s.values["dbt-build"] = append(s.values["dbt-build"], build)
		s.ours, s.theirs = append(s.ours, run), append(s.theirs, direct)
	}
	return s, nil
}

// timed gives the seconds that f takes.
func timed(f func() error) (float64, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin).Seconds(), err
}

// connectTrino asks in the name of a person or a program.
func connectTrino(ctx context.Context, mesh *meshrun.Mesh, user string) (*query.Client, error) {
	ca, err := mesh.Run(ctx, "ca")
	if err != nil {
		return nil, err
	}
	password, err := mesh.Run(ctx, "credentials", user)
	if err != nil {
		return nil, err
	}
	port, err := mesh.Port(topology.PortTrino)
	if err != nil {
		return nil, err
	}
	return query.New(query.Config{
		Address: net.JoinHostPort("localhost", strconv.Itoa(port)), CA: []byte(ca), User: user, Password: strings.TrimSpace(password), Source: "bench",
	})
}

// runCompiled makes a table of what each model selects, in the order in which dbt
// ran them, and gives the seconds that this took.
func runCompiled(ctx context.Context, trino *query.Client, results string) (seconds float64, err error) {
	text, err := os.ReadFile(results)
	if err != nil {
		return 0, err
	}
	var run struct {
		Results []struct {
			Model    string `json:"unique_id"`
			Compiled string `json:"compiled_code"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &run); err != nil {
		return 0, fmt.Errorf("%s: %w", results, err)
	}
	models := 0
	for _, result := range run.Results {
		if !strings.HasPrefix(result.Model, "model.") {
			continue
		}
		models++
		const table = "sales_analytics.marts_next.bench"
		took, err := timed(func() error { return execute(ctx, trino, "create table "+table+" as "+result.Compiled) })
		if err == nil {
			err = execute(ctx, trino, "drop table "+table)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", result.Model, err)
		}
		seconds += took
	}
	if models == 0 {
		return 0, fmt.Errorf("%s names no model", results)
	}
	return seconds, nil
}

func execute(ctx context.Context, trino *query.Client, statement string) error {
	rows, err := trino.Query(ctx, statement, nil)
	if err != nil {
		return err
	}
	for rows.Next(ctx) {
		// The number of rows written; what counts is that it ended.
	}
	return errors.Join(rows.Err(), rows.Close())
}
