package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/local"
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
	// Not in the rig's folder: under root the servers' account must be able to enter.
	parent, err := os.MkdirTemp("", "bench-mesh-")
	if err != nil {
		return samples{}, err
	}
	defer func() {
		if rmErr := os.Remove(parent); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := os.Chmod(parent, 0o755); err != nil {
		return samples{}, err
	}
	home := state.Dir(filepath.Join(parent, "mesh"))
	offset, err := freeport.Offset(func(offset int) map[int]string {
		return local.Ports(state.Mesh{PortOffset: offset, Profile: state.ProfileFull})
	})
	if err != nil {
		return samples{}, err
	}
	scale := "load"
	if r.short {
		scale = "small"
	}
	began := time.Now()
	defer func() { err = errors.Join(err, r.meesh(context.WithoutCancel(ctx), home, "down", "--volumes")) }()
	if err := r.meesh(ctx, home, "up", "--scale", scale, "--port-offset", strconv.Itoa(offset)); err != nil {
		return samples{}, err
	}
	say("  a mesh of scale %s with its marts: after %s", scale, time.Since(began).Round(time.Second))
	sources, closeAll, err := connectSources(ctx, home)
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

// meesh runs a command on the mesh in the folder.
func (r *rig) meesh(ctx context.Context, home state.Dir, args ...string) error {
	command := exec.CommandContext(ctx, filepath.Join(r.bin, "meesh"), args...)
	command.Env = append(os.Environ(), state.HomeVariable+"="+string(home))
	// A group of its own: Ctrl-C is for the benchmark, which then stops it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	out, err := command.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("meesh %s: %w\n%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return nil
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
