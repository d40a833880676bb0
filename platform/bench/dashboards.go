package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/panel"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// sourceDatabases are the databases behind the data sources of the dashboards.
var sourceDatabases = map[string]struct{ server, database string }{
	"sales-db": {"sales-db", "sales_data"}, "marketing-db": {"marketing-db", "marketing_data"},
	"sales-api-db": {"sales-api-db", "sales_api"}, "marts": {"platform-db", "sales_analytics"},
}

// pageQueries starts a whole mesh with the load data and its marts, and runs what
// the pages of the dashboards ask: all queries of a page one after the other, its
// variables first, as grafana_ro and with everything chosen. The slowest page counts.
func pageQueries(ctx context.Context, r *rig) (_ samples, err error) {
	dashboards, err := panel.Load(os.DirFS(filepath.Join(filepath.Dir(r.bin), "dashboards", "json")))
	if err != nil {
		return samples{}, fmt.Errorf("%w: %w", errUnreached, err)
	}
	scale := "load"
	if r.short {
		scale = "small"
	}
	began := time.Now()
	mesh, err := meshrun.Up(ctx, r.bin, "--scale", scale)
	if mesh != nil {
		defer func() { err = errors.Join(err, mesh.Down()) }()
	}
	if err != nil {
		return samples{}, err
	}
	say("  a mesh of scale %s with its marts: after %s", scale, time.Since(began).Round(time.Second))
	sources, closeAll, err := connectSources(ctx, mesh.Home)
	if err != nil {
		return samples{}, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	return measurePages(ctx, r, sources, dashboards)
}

func measurePages(ctx context.Context, r *rig, sources panel.Sources, dashboards []panel.Dashboard) (samples, error) {
	s := samples{values: map[string][]float64{}}
	rounds, _ := r.rounds(5, 0)
	slowest := map[string]float64{}
	for n := -warmUp; n < rounds; n++ {
		var most float64
		for _, d := range dashboards {
			begin := time.Now()
			ran, err := sources.Open(ctx, d, begin)
			if err != nil {
				return s, fmt.Errorf("%s: %w", d.Title, err)
			}
			if ran == 0 {
				return s, fmt.Errorf("%s asks nothing", d.Title)
			}
			took := time.Since(begin).Seconds()
			most, slowest[d.Title] = max(most, took), max(slowest[d.Title], took)
		}
		if n < 0 {
			clear(slowest)
			continue
		}
		s.values["page-queries"] = append(s.values["page-queries"], most)
	}
	for _, d := range dashboards {
		say("  %-30s %.3f s", d.Title, slowest[d.Title])
	}
	return s, nil
}

// connectSources connects to what the data sources of a mesh lead to.
func connectSources(ctx context.Context, home state.Dir) (panel.Sources, func() error, error) {
	sources, conns := panel.Sources{}, []*pgx.Conn{}
	closeAll := func() (err error) {
		for _, c := range conns {
			err = errors.Join(err, c.Close(context.WithoutCancel(ctx)))
		}
		return err
	}
	mesh, err := state.Load(home)
	if err != nil {
		return nil, closeAll, err
	}
	store, err := secrets.Open(home.Secrets())
	if err != nil {
		return nil, closeAll, err
	}
	for uid, s := range sourceDatabases {
		server, ok := topology.ServerNamed(s.server)
		if !ok {
			return nil, closeAll, fmt.Errorf("no server %s in the topology", s.server)
		}
		password, err := store.Role(server.Name, topology.RoleGrafana)
		if err != nil {
			return nil, closeAll, err
		}
		u := url.URL{Scheme: "postgres", User: url.UserPassword(topology.RoleGrafana, password), Path: "/" + s.database,
			Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(mesh.Port(server.Port))), RawQuery: "sslmode=disable"}
		conn, err := pgx.Connect(ctx, u.String())
		if err != nil {
			return nil, closeAll, err
		}
		conns = append(conns, conn)
		sources[uid] = conn
	}
	return sources, closeAll, nil
}
