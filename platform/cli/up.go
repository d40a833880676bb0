package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/preflight"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// Scales of the data, smallest first.
var scales = []string{"small", "demo", "load"}

// seedOptions say what the data shall be.
type seedOptions struct {
	scale string
	seed  int64
	asOf  string
}

func (o *seedOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.scale, "scale", "demo", "how much data: "+strings.Join(scales, ", "))
	c.Flags().Int64Var(&o.seed, "seed", 42, "number that the data is made from")
	c.Flags().StringVar(&o.asOf, "as-of", "today", "day that the data ends on: YYYY-MM-DD")
}

// apply puts those that were given into m, and all of them when fresh.
func (o *seedOptions) apply(c *cobra.Command, m *state.Mesh, fresh bool) error {
	if fresh || c.Flags().Changed("scale") {
		if !slices.Contains(scales, o.scale) {
			return usageError(c, fmt.Errorf("--scale %q: choose one of %s", o.scale, strings.Join(scales, ", ")))
		}
		m.Scale = o.scale
	}
	if fresh || c.Flags().Changed("seed") {
		m.Seed = o.seed
	}
	if fresh || c.Flags().Changed("as-of") {
		day := o.asOf
		if day == "today" {
			day = time.Now().UTC().Format(time.DateOnly)
		}
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return usageError(c, fmt.Errorf("--as-of %q: not a day like 2026-01-31, nor today", o.asOf))
		}
		m.AsOf = day
	}
	return nil
}

type upOptions struct {
	seedOptions
	profile    string
	workers    int
	portOffset int
	foreground bool
	refresh    string
	hubLogin   string
}

func newUpCommand() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the mesh, or bring a running one up to date",
		Long: `Starts the mesh and returns when it is ready; a supervisor in the background
keeps it running. What runs already and has not changed goes on undisturbed.
After an interruption, up continues where it was.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runUp(c, o) },
	}
	o.flags(c)
	return c
}

func (o *upOptions) flags(c *cobra.Command) {
	o.seedOptions.flags(c)
	c.Flags().StringVar(&o.profile, "profile", state.ProfileFull, "what to run: core, or full with the data lake; a mesh keeps its profile")
	c.Flags().IntVar(&o.workers, "trino-workers", 0, fmt.Sprintf("nodes of Trino beside the coordinator, 1 GB each: 0 to %d; a mesh keeps its number", topology.MaxTrinoWorkers))
	c.Flags().IntVar(&o.portOffset, "port-offset", 0, "move all ports by this number")
	c.Flags().StringVar(&o.refresh, "refresh", "", "build the marts anew so often while the mesh runs, for example 15m; 0 for never; a mesh keeps it")
	c.Flags().StringVar(&o.hubLogin, "hub-login", "", "log in to JupyterHub by OpenID Connect or LDAP, as this JSON `FILE` says (docs/operations.md); "+meshPasswords+": by those of the mesh again; a mesh keeps it")
	c.Flags().BoolVar(&o.foreground, "foreground", false, "stay, and stop the mesh at Ctrl-C")
}

// meshPasswords is the --hub-login of a mesh that was told no other.
const meshPasswords = "passwords"

// hubLoginText is what --hub-login names: nil when it is not given, "" for the mesh's own passwords.
func (o *upOptions) hubLoginText(c *cobra.Command) (*string, error) {
	if !c.Flags().Changed("hub-login") {
		return nil, nil
	}
	if o.hubLogin == meshPasswords {
		return new(string), nil
	}
	b, err := os.ReadFile(o.hubLogin)
	if err != nil {
		return nil, usageError(c, fmt.Errorf("--hub-login: %w; name a JSON file, or %s", err, meshPasswords))
	}
	if _, err := jupyterhub.ParseLoginProvider(b); err != nil {
		return nil, usageError(c, fmt.Errorf("--hub-login %s: %w", o.hubLogin, err))
	}
	text := string(b)
	return &text, nil
}

// check refuses what cannot work whatever the mesh is like.
func (o *upOptions) check(c *cobra.Command) error {
	if o.profile != state.ProfileCore && o.profile != state.ProfileFull {
		return usageError(c, fmt.Errorf("--profile %q: choose %s or %s", o.profile, state.ProfileCore, state.ProfileFull))
	}
	if o.workers < 0 || o.workers > topology.MaxTrinoWorkers {
		return usageError(c, fmt.Errorf("--trino-workers %d: choose 0 to %d", o.workers, topology.MaxTrinoWorkers))
	}
	if o.refresh != "" {
		if every, err := time.ParseDuration(o.refresh); err != nil || every != 0 && every < shortestRefresh {
			return usageError(c, fmt.Errorf("--refresh %q: a time like 15m, at least %s, or 0 for never", o.refresh, shortestRefresh))
		}
	}
	for port := range local.Ports(state.Mesh{PortOffset: o.portOffset, Profile: o.profile, TrinoWorkers: o.workers}) {
		if port < 1024 || port > 65535 {
			return usageError(c, fmt.Errorf("--port-offset %d: moves a port to %d, which is not between 1024 and 65535", o.portOffset, port))
		}
	}
	return nil
}

// decide finds out what the mesh is to be: what it was, changed by flags.
func (o *upOptions) decide(c *cobra.Command, d state.Dir) (state.Mesh, error) {
	m, err := state.Load(d)
	fresh := errors.Is(err, state.ErrNoMesh)
	if err != nil && !fresh {
		return m, err
	}
	before := m
	if fresh || c.Flags().Changed("profile") {
		m.Profile = o.profile
	}
	if c.Flags().Changed("trino-workers") {
		m.TrinoWorkers = o.workers
	}
	if c.Flags().Changed("refresh") {
		m.Refresh = o.refresh
		if every, err := time.ParseDuration(o.refresh); err == nil && every == 0 {
			m.Refresh = ""
		}
	}
	if m.Lake() {
		if err := decideObjectStore(c, &m); err != nil {
			return m, err
		}
	}
	if fresh || c.Flags().Changed("port-offset") {
		m.PortOffset = o.portOffset
	}
	if err := o.apply(c, &m, fresh); err != nil {
		return m, err
	}
	same := m.Scale == before.Scale && m.Seed == before.Seed && m.AsOf == before.AsOf
	if fresh || same {
		return m, nil
	}
	return m, usageError(c, fmt.Errorf("the mesh holds data of scale %s, seed %d, as of %s; to replace all of it: %s seed --force %s",
		before.Scale, before.Seed, before.AsOf, self(), seedFlags(m)))
}

// decideObjectStore says which object store a new lake gets.
func decideObjectStore(c *cobra.Command, m *state.Mesh) error {
	value, given := os.LookupEnv(objectstore.Variable)
	kind, err := objectstore.ParseKind(value)
	if err != nil {
		return usageError(c, err)
	}
	switch {
	case m.ObjectStore == "":
		m.ObjectStore = string(kind)
	case given && value != "" && m.ObjectStore != string(kind):
		return usageError(c, fmt.Errorf("%s=%s: the lake of this mesh is kept by %s, and one cannot read what the other wrote; "+
			"remove the mesh first: %s down --volumes", objectstore.Variable, value, m.ObjectStore, self()))
	}
	return nil
}

func seedFlags(m state.Mesh) string { return strings.Join(local.SeedArgs(m), " ") }

func runUp(c *cobra.Command, o upOptions) (err error) {
	ctx, begin := c.Context(), time.Now()
	if err := o.check(c); err != nil {
		return err
	}
	d, err := state.Find()
	if err != nil {
		return err
	}
	u := &upRun{dir: d, begin: begin, client: control.NewClient(d), view: newDisplay(os.Stderr), foreground: o.foreground}
	defer u.view.Close()
	if err := u.up(ctx, c, o); err != nil {
		u.view.Close()
		if ctx.Err() != nil {
			u.interrupted()
		}
		return err
	}
	u.view.Close()
	if !o.foreground {
		return nil
	}
	return u.stay(ctx)
}

// upRun is one run of "up".
type upRun struct {
	dir        state.Dir
	mesh       state.Mesh
	begin      time.Time
	client     *control.Client
	view       *display
	foreground bool
	order      control.Order
	running    map[string]bool // components with a process, before
	pending    []part          // to be fetched while the core starts
}

func (u *upRun) up(ctx context.Context, c *cobra.Command, o upOptions) error {
	if err := checkOwner(u.dir); err != nil {
		return err
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		return err
	}
	if u.mesh, err = o.decide(c, u.dir); err != nil {
		return err
	}
	hubLogin, err := o.hubLoginText(c)
	if err != nil {
		return err
	}
	unlock, err := lockMesh(ctx, u.dir, "meesh up", os.Stderr)
	if err != nil {
		return err
	}
	defer unlock()
	// Whoever held the lock may have decided anew.
	if u.mesh, err = o.decide(c, u.dir); err != nil {
		return err
	}
	if err := u.findRunning(ctx); err != nil {
		return err
	}
	// Under the lock: two that try the same ports would find each other.
	if err := u.preflight(ctx, cache); err != nil {
		return errors.Join(err, forgetEmpty(u.dir))
	}
	a, err := account.Current(ctx, string(u.dir))
	if err != nil {
		return err
	}
	if a.Root {
		u.view.Line("Started by root: the servers run as the account %s, their data lies in %s.", a.Name, u.dir)
	}
	if err := layOut(u.dir, a); err != nil {
		return err
	}
	if err := link(u.dir); err != nil {
		return err
	}
	programs, err := programFolder()
	if err != nil {
		return err
	}
	if programs != u.dir.Bin() {
		if _, err := local.Install(u.dir, programs); err != nil {
			return err
		}
	}
	if u.mesh.Lake() {
		if err := installProject(u.dir); err != nil {
			return err
		}
	}
	if u.mesh.Lake() {
		if err := u.installHub(ctx, a); err != nil {
			return err
		}
	}
	if u.mesh.Tools.PostgreSQL, err = fetch.PostgreSQL(ctx, cache, u.view.Fetch); err != nil {
		return &exitError{exitUnreachable, err}
	}
	if err := u.useCache(ctx, cache); err != nil {
		return err
	}
	if err := u.findGrafana(ctx, cache, a); err != nil {
		return err
	}
	if err := state.Save(u.dir, u.mesh); err != nil {
		return err
	}
	u.order.AdminPassword = os.Getenv(secrets.AdminPasswordVariable)
	u.order.HubLogin = hubLogin
	if err := u.supervisor(ctx, a); err != nil {
		return err
	}
	return u.start(ctx, cache)
}

// findRunning notes which components have a process now.
func (u *upRun) findRunning(ctx context.Context) error {
	u.running = map[string]bool{}
	pids, err := supervise.Recorded(u.dir.Run())
	if errors.Is(err, os.ErrPermission) {
		return &control.PermissionError{Dir: u.dir}
	}
	if err != nil {
		return err
	}
	for name := range pids {
		u.running[name] = true
	}
	return nil
}

// preflight checks the machine and reports what is in the way.
func (u *upRun) preflight(ctx context.Context, cache string) error {
	checks := preflight.Run(ctx, preflightInput(u.dir, u.mesh, cache, u.running))
	for _, k := range checks {
		switch {
		case k.OK:
		case k.Warning:
			u.view.Line("Note: %s: %s. %s", k.Name, k.Found, k.Fix)
		default:
			u.view.Line("Not possible: %s: %s. %s", k.Name, k.Found, k.Fix)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if preflight.Failed(checks) {
		return errors.New("nothing was started; the lines above say what is in the way")
	}
	return nil
}

// preflightInput says what the mesh needs. running are the components that
// have a process already.
func preflightInput(d state.Dir, m state.Mesh, cache string, running map[string]bool) preflight.Input {
	in := preflight.Input{StateDir: string(d), CacheDir: cache, Missing: fetch.Missing(cache), Workers: m.TrinoWorkers}
	if m.Lake() {
		in.Store = fetch.Store(m.ObjectStore)
		in.Missing = slices.Concat(in.Missing, fetch.MissingLake(cache, in.Store), fetch.MissingDBT(cache))
		in.Optional = slices.Concat(fetch.MissingMailbox(cache), fetch.MissingHub(cache))
	}
	before, err := state.Load(d)
	samePorts := err == nil && before.PortOffset == m.PortOffset
	for port, component := range local.Ports(m) {
		in.Ports = append(in.Ports, preflight.Port{Number: port, Wants: component, Ours: samePorts && running[component]})
	}
	slices.SortFunc(in.Ports, func(a, b preflight.Port) int { return a.Number - b.Number })
	return in
}

// A part of the mesh is what is fetched together and started without the rest.
type part struct {
	name     string
	missing  bool // from the cache
	optional bool // the mesh is complete without it
	// fetch returns where the programs lie, to be noted by the caller: parts
	// are fetched side by side.
	fetch func(context.Context) (note func(*state.Tools), err error)
}

// parts lists what is fetched beside PostgreSQL.
func (u *upRun) parts(cache string) []part {
	parts := []part{{
		name:    "Trino",
		missing: len(fetch.Missing(cache)) > 0,
		fetch: func(ctx context.Context) (func(*state.Tools), error) {
			tree, err := fetch.All(ctx, cache, u.view.Fetch)
			return func(t *state.Tools) { t.PostgreSQL, t.Java, t.Trino = tree.PostgreSQL, tree.Java, tree.Trino }, err
		},
	}}
	if !u.mesh.Lake() {
		return parts
	}
	store := fetch.Store(u.mesh.ObjectStore)
	return append(parts, part{
		name:    "dbt",
		missing: len(fetch.MissingDBT(cache)) > 0,
		fetch: func(ctx context.Context) (func(*state.Tools), error) {
			folder, err := fetch.DBT(ctx, cache, u.view.Fetch)
			return func(t *state.Tools) { t.DBT = folder }, err
		},
	}, part{
		name:    "the data lake",
		missing: len(fetch.MissingLake(cache, store)) > 0,
		fetch: func(ctx context.Context) (func(*state.Tools), error) {
			tree, err := fetch.Lake(ctx, cache, store, u.view.Fetch)
			return func(t *state.Tools) {
				t.ObjectStore, t.Metastore, t.MetastoreLibraries, t.MetastoreJava = tree.ObjectStore, tree.Metastore, tree.Libraries, tree.Java
			}, err
		},
	}, part{
		name:     "the mailbox",
		missing:  len(fetch.MissingMailbox(cache)) > 0,
		optional: true,
		fetch: func(ctx context.Context) (func(*state.Tools), error) {
			folder, err := fetch.Mailbox(ctx, cache, u.view.Fetch)
			return func(t *state.Tools) { t.Mailbox = folder }, err
		},
	}, part{
		name:     "JupyterHub",
		missing:  len(fetch.MissingHub(cache)) > 0,
		optional: true,
		fetch: func(ctx context.Context) (func(*state.Tools), error) {
			tree, err := fetch.Hub(ctx, cache, u.view.Fetch)
			return func(t *state.Tools) { t.Hub, t.HubProxy, t.Notebook = tree.Hub, tree.Proxy, tree.Notebook }, err
		},
	})
}

// useCache notes where the programs lie that are in the cache; they can start
// with the rest. The others are fetched later, and until then held.
func (u *upRun) useCache(ctx context.Context, cache string) error {
	for _, p := range u.parts(cache) {
		if p.missing {
			u.pending = append(u.pending, p)
			continue
		}
		note, err := p.fetch(ctx)
		if err != nil {
			return &exitError{exitUnreachable, err}
		}
		note(&u.mesh.Tools)
	}
	for _, p := range u.pending {
		switch p.name {
		case "Trino":
			u.mesh.Tools.Java, u.mesh.Tools.Trino = "", ""
		case "dbt":
			u.mesh.Tools.DBT = ""
		case "the mailbox":
			u.mesh.Tools.Mailbox = ""
		case "JupyterHub":
			u.mesh.Tools.Hub = ""
		default:
			u.mesh.Tools.ObjectStore, u.mesh.Tools.Metastore = "", ""
		}
	}
	return nil
}

// supervisor sees to it that one runs that is of this program.
func (u *upRun) supervisor(ctx context.Context, a account.Account) error {
	program, err := local.Sum(filepath.Join(u.dir.Bin(), "meesh"))
	if err != nil {
		return err
	}
	report, err := u.client.Status(ctx)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		if len(u.running) > 0 {
			u.view.Line("The supervisor of this mesh has ended without its components; taking them over.")
		}
	case err != nil:
		return err
	case report.Program == hex.EncodeToString(program):
		return nil
	default:
		u.view.Line("meesh itself has changed: a new supervisor takes the components over.")
		if err := u.client.Detach(ctx); err != nil {
			return err
		}
	}
	return startSupervisor(ctx, u.dir, a)
}

// start brings the components in line and waits until all are ready.
func (u *upRun) start(ctx context.Context, cache string) error {
	type result struct {
		part part
		note func(*state.Tools)
		err  error
	}
	fetched := make(chan result, len(u.pending))
	fetchCtx, cancel := context.WithCancel(ctx)
	var fetching sync.WaitGroup
	// If the core fails, the downloads end orderly.
	defer func() { cancel(); fetching.Wait() }()
	for _, p := range u.pending {
		fetching.Go(func() {
			note, err := p.fetch(fetchCtx)
			fetched <- result{p, note, err}
		})
	}
	changes, err := u.client.Reconcile(ctx, u.order)
	if err != nil {
		return err
	}
	if len(changes.Unchanged) > 0 {
		u.view.Line("The mesh runs already: %s.", changes)
	}
	if err := u.await(ctx, local.Core); err != nil {
		return err
	}
	u.view.Line("Core ready in %s.", u.elapsed())
	for range u.pending {
		var r result
		select {
		case r = <-fetched:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.err != nil && r.part.optional && ctx.Err() == nil {
			u.view.Line("Note: %s is left out: %v", r.part.name, r.err)
			continue
		}
		if r.err != nil {
			u.view.Line("The core runs; %s could not be fetched. Try again with: %s up", r.part.name, self())
			return &exitError{exitUnreachable, r.err}
		}
		r.note(&u.mesh.Tools)
		if err := state.Save(u.dir, u.mesh); err != nil {
			return err
		}
		if _, err := u.client.Reconcile(ctx, u.order); err != nil {
			return err
		}
	}
	if err := u.await(ctx, local.Trino); err != nil {
		return err
	}
	u.view.Line("Trino ready in %s.", u.elapsed())
	if u.mesh.Lake() {
		if err := u.await(ctx, local.Lake); err != nil {
			return err
		}
		u.view.Line("Data lake ready in %s.", u.elapsed())
		if err := u.marts(ctx); err != nil {
			return err
		}
		if err := u.await(ctx, local.Pages); err != nil {
			return err
		}
		if found := u.mesh.Tools.Grafana; found != nil {
			u.view.Line("Grafana %s ready in %s.", found.Version, u.elapsed())
		}
		if err := u.await(ctx, local.Notebooks); err != nil {
			return err
		}
	}
	return u.summary(ctx)
}

func (u *upRun) elapsed() string { return fmt.Sprintf("%.1f s", time.Since(u.begin).Seconds()) }

// patience is how often a server may fail before "up" gives up on it; the
// supervisor does not.
const patience = 6

// await waits until all components of a group are ready.
func (u *upRun) await(ctx context.Context, group string) error {
	var failed *supervise.Status
	err := u.client.Watch(ctx, func(r control.Report) bool {
		u.view.Mesh(r.Components)
		ready := true
		for _, c := range r.Components {
			if c.Group != group || c.Ready {
				continue
			}
			ready = false
			if c.State == supervise.Failed || c.Failures >= patience {
				failed = &c
				return false
			}
		}
		return !ready
	})
	if err != nil {
		return err
	}
	if failed == nil {
		return nil
	}
	u.view.Close()
	say(os.Stderr, "%s fails: %s. The end of its log:", failed.Name, failed.Error)
	for _, line := range failed.LogTail {
		say(os.Stderr, "  | %s", line)
	}
	say(os.Stderr, "All of it: %[1]s logs %[2]s. When the cause is removed: %[1]s up", self(), failed.Name)
	return fmt.Errorf("%s did not start", failed.Name)
}

// summary ends a successful "up".
func (u *upRun) summary(ctx context.Context) error {
	store, err := secrets.Open(u.dir.Secrets())
	if err != nil {
		return err
	}
	asked := time.Now()
	count, err := countFederated(ctx, u.mesh, store)
	if err != nil {
		return fmt.Errorf("federated query: %w", err)
	}
	took := time.Since(asked)
	people, err := store.People()
	if err != nil {
		return err
	}
	u.view.Close()
	w := os.Stdout
	say(w, "")
	if err := urlTable(w, u.mesh); err != nil {
		return err
	}
	say(w, "")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range people {
		if !slices.ContainsFunc(topology.ServiceUsers, func(s topology.Person) bool { return s.Name == p.Name }) {
			say(t, "  %s\t%s", p.Name, p.Does)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	say(w, "  Passwords and API keys: %s credentials [NAME]", self())
	say(w, "")
	say(w, "customers of sales JOIN leads of marketing ON email: %d rows, in %.2f s", count, took.Seconds())
	say(w, "data as of %s; renew with: %s seed --force --as-of today", u.mesh.AsOf, self())
	if u.mesh.Lake() && u.mesh.Tools.Grafana == nil {
		say(w, "%s", noGrafana())
	}
	say(w, "Next: %s demo", self())
	return nil
}

// urlTable writes where people reach what.
func urlTable(out io.Writer, m state.Mesh) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	say(w, "  Sales API\thttp://localhost:%d", m.Port(topology.PortSalesAPI))
	say(w, "  Marketing ingest\thttp://localhost:%d", m.Port(topology.PortMarketingIngest))
	say(w, "  API metrics of sales\thttp://localhost:%d", m.Port(topology.PortSalesAPILogger))
	say(w, "  API metrics of marketing\thttp://localhost:%d", m.Port(topology.PortMarketingAPILogger))
	for _, s := range topology.Servers {
		var names []string
		for _, d := range s.Databases {
			names = append(names, d.Name)
		}
		say(w, "  PostgreSQL %s\tlocalhost:%d  %s", s.Name, m.Port(s.Port), strings.Join(names, ", "))
	}
	say(w, "  Trino\thttps://localhost:%d", m.Port(topology.PortTrino))
	if m.Lake() {
		say(w, "  Object store\thttp://localhost:%d  buckets %s, %s; page http://localhost:%d",
			m.Port(topology.PortObjectStore), objectstore.Lake, objectstore.Backups, m.Port(topology.PortObjectStoreConsole))
		if m.Tools.Hub != "" {
			say(w, "  JupyterHub\thttp://localhost:%d", m.Port(topology.PortHub))
		}
		if m.Tools.Grafana != nil {
			say(w, "  Grafana\thttp://localhost:%d", m.Port(topology.PortGrafana))
		}
		say(w, "  Dashboards\thttp://localhost:%d  the built-in viewer", local.ViewerPort(m))
		if m.Tools.Mailbox != "" {
			say(w, "  Mailbox\thttp://localhost:%d  SMTP localhost:%d", m.Port(topology.PortMailbox), m.Port(topology.PortMailboxSMTP))
		}
		say(w, "  dbt documents\thttp://localhost:%d", m.Port(topology.PortDBTDocs))
		say(w, "  Hive metastore\tthrift://localhost:%d", m.Port(topology.PortHiveMetastore))
	}
	return w.Flush()
}

// interrupted says how things are after Ctrl-C.
func (u *upRun) interrupted() {
	// The context of the command has ended.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if u.foreground {
		if err := u.stop(ctx); err != nil {
			say(os.Stderr, "%v", err)
		}
		return
	}
	report, err := u.client.Status(ctx)
	if err != nil {
		say(os.Stderr, "Interrupted. Nothing runs. Continue with: %s up", self())
		return
	}
	var names []string
	for _, c := range report.Components {
		if c.PID != 0 {
			names = append(names, c.Name)
		}
	}
	say(os.Stderr, "Interrupted. The supervisor goes on; now running: %s.", strings.Join(names, ", "))
	say(os.Stderr, "Continue with: %[1]s up; stop it with: %[1]s down", self())
}

// stay shows what happens until the caller interrupts, then stops the mesh.
func (u *upRun) stay(ctx context.Context) error {
	say(os.Stderr, "Staying. Ctrl-C stops the mesh.")
	states := map[string]supervise.State{}
	err := u.client.Watch(ctx, func(r control.Report) bool {
		for _, c := range r.Components {
			before, known := states[c.Name]
			if known && before != c.State {
				line := fmt.Sprintf("%s %s: %s", time.Now().Format(time.TimeOnly), c.Name, c.State)
				if !c.Ready && c.Error != "" {
					line += ", " + c.Error
				}
				say(os.Stderr, "%s", line)
			}
			states[c.Name] = c.State
		}
		return true
	})
	if ctx.Err() == nil {
		return err
	}
	// The context of the command has ended; stopping takes as long as it takes.
	return u.stop(context.Background())
}

func (u *upRun) stop(ctx context.Context) error {
	say(os.Stderr, "Stopping the mesh.")
	if err := u.client.Stop(ctx); err != nil && !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if err := stopNotebooks(ctx, u.dir, os.Stderr); err != nil {
		return err
	}
	say(os.Stderr, "Stopped. Start it again with: %s up", self())
	return nil
}
