// Package local says what the mesh on one machine consists of and how each part is run.
package local

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
	"github.com/datameesh/datameesh/platform/trino"
)

// Groups of components. The core is ready before Trino is; the data lake needs
// neither Trino nor the domains, and the pages need a database alone.
const (
	Core  = "core"
	Trino = "trino"
	Lake  = "lake"
	Pages = "pages"

	Notebooks = "notebooks"
)

// Programs that the mesh runs; "meesh up" copies them from beside itself into
// the state folder, where the servers' account can execute them.
var Programs = []string{
	"meesh",
	"sales-api", "sales-migrate", "sales-seed", "sales-simulate",
	"marketing-ingest", "marketing-migrate", "marketing-seed", "marketing-simulate",
	"api-metrics-logger", "apimetrics-migrate", "apimetrics-seed",
	meshCollector, meshAudit,
	meshViewer,
	"mesh-spawn",
}

// A Domain is a database with what is made in it and the service on it.
type Domain struct {
	Service  string // component name
	Program  string
	Port     int
	Admin    int    // port of /metrics
	Logger   string // component that the service sends its request log to; empty for a logger
	Tasks    string // prefix of the programs that migrate and seed: "sales"
	Server   string
	Database string
}

// Domains are the four services and their databases.
var Domains = []Domain{
	{"sales-api", "sales-api", topology.PortSalesAPI, topology.PortSalesAPIAdmin, "sales-api-logger", "sales", "sales-db", "sales_data"},
	{"marketing-ingest", "marketing-ingest", topology.PortMarketingIngest, topology.PortMarketingIngestAdmin, "marketing-api-logger", "marketing", "marketing-db", "marketing_data"},
	{"sales-api-logger", "api-metrics-logger", topology.PortSalesAPILogger, topology.PortSalesAPILoggerAdmin, "", "apimetrics", "sales-api-db", "sales_api"},
	{"marketing-api-logger", "api-metrics-logger", topology.PortMarketingAPILogger, topology.PortMarketingAPILoggerAdmin, "", "apimetrics", "marketing-db", "marketing_api"},
}

// mesh is one local mesh while its components are listed.
type mesh struct {
	state.Mesh
	dir   state.Dir
	store *secrets.Store
}

// A WarmUp runs the federated query, as a new Trino is slow at first.
type WarmUp func(ctx context.Context) error

// Components lists what the mesh consists of, in the order in which it is
// shown. It writes the files that the components read. Each database is
// served, gets its roles, its tables and its data, and then its service.
func Components(d state.Dir, m state.Mesh, store *secrets.Store, warmUp WarmUp) ([]supervise.Spec, error) {
	mm := &mesh{m, d, store}
	var specs []supervise.Spec
	add := func(s supervise.Spec, err error) error {
		specs = append(specs, s)
		return err
	}
	if err := add(mm.audit()); err != nil {
		return nil, err
	}
	for _, server := range topology.Servers {
		if err := errors.Join(
			add(mm.initTask(server), nil),
			add(mm.postgresServer(server), nil),
			add(mm.bootstrapTask(server)),
		); err != nil {
			return nil, err
		}
	}
	for _, domain := range Domains {
		if err := errors.Join(
			add(mm.migrateTask(domain)),
			add(mm.seedTask(domain)),
			add(mm.service(domain)),
		); err != nil {
			return nil, err
		}
	}
	if m.Lake() {
		lake, err := mm.lake()
		if err != nil {
			return nil, err
		}
		specs = append(specs, lake...)
	}
	if err := add(mm.trino(warmUp)); err != nil {
		return nil, err
	}
	for n := range m.TrinoWorkers {
		if err := add(mm.worker(n + 1)); err != nil {
			return nil, err
		}
	}
	if err := add(mm.collector()); err != nil {
		return nil, err
	}
	if m.Lake() {
		specs = append(specs, mm.dbtDocs())
		if m.Refresh != "" {
			specs = append(specs, mm.dbtRefresh())
		}
		pages, err := mm.pages()
		if err != nil {
			return nil, err
		}
		specs = append(specs, pages...)
		notebooks, err := mm.notebooks()
		if err != nil {
			return nil, err
		}
		specs = append(specs, notebooks...)
	}
	return specs, nil
}

// spec is what all components have in common.
func (m *mesh) spec(kind supervise.Kind, name, path string, args ...string) supervise.Spec {
	return supervise.Spec{
		Name: name, Kind: kind, Group: Core,
		Path: path, Args: args,
		// Complete: a component must not depend on who happened to start it.
		Env: []string{"PATH=/usr/bin:/bin", "HOME=" + string(m.dir), "TZ=UTC"},
		Dir: string(m.dir), Log: m.dir.Log(name),
	}
}

func (m *mesh) program(name string) string { return filepath.Join(m.dir.Bin(), name) }

func initTask(s topology.Server) string      { return s.Name + "-init" }
func bootstrapTask(s topology.Server) string { return s.Name + "-roles" }

func (m *mesh) initTask(server topology.Server) supervise.Spec {
	s := m.spec(supervise.Task, initTask(server), m.program("meesh"), "init-server", server.Name)
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir))
	s.StopGrace = time.Minute // it is not interrupted, see InitServer
	if m.Tools.PostgreSQL == "" {
		s.Hold = "download"
	}
	return s
}

func (m *mesh) bootstrapTask(server topology.Server) (supervise.Spec, error) {
	password, err := m.store.Role(server.Name, topology.Superuser)
	if err != nil {
		return supervise.Spec{}, err
	}
	s := m.spec(supervise.Task, bootstrapTask(server), m.program("meesh"), "bootstrap", server.Name)
	s.DependsOn = []string{server.Name}
	s.Env = append(s.Env, state.HomeVariable+"="+string(m.dir), "PGPASSWORD="+password,
		// Read by nobody, but runs the task again when it changes: the task
		// tells the platform server on which ports to find the others.
		fmt.Sprintf("MEESH_PORT_OFFSET=%d", m.PortOffset))
	people, err := m.peopleSum(server.Name)
	// So does this, when somebody comes, goes or has a new password.
	s.Env = append(s.Env, "MEESH_PEOPLE="+people)
	return s, err
}

// peopleSum changes when the people who log in to a database server do, or
// their passwords there.
func (m *mesh) peopleSum(server string) (string, error) {
	people, err := m.store.Persons()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, p := range policy.TheMesh().LogIns(server, people) {
		password, err := m.store.Role(server, p.Name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q %q %q\n", p.Name, p.Region, password)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// database is the environment of a program that connects as a role.
func (m *mesh) database(d Domain, role func(topology.Database) string) ([]string, error) {
	server, ok := topology.ServerNamed(d.Server)
	if !ok {
		return nil, fmt.Errorf("no server %s in the topology", d.Server)
	}
	for _, db := range server.Databases {
		if db.Name != d.Database {
			continue
		}
		password, err := m.store.Role(server.Name, role(db))
		if err != nil {
			return nil, err
		}
		return []string{
			fmt.Sprintf("DATABASE_URL=postgres://%s@%s/%s?sslmode=disable", role(db), loopback(m.Port(server.Port)), db.Name),
			"PGPASSWORD=" + password,
		}, nil
	}
	return nil, fmt.Errorf("no database %s on %s in the topology", d.Database, d.Server)
}

func owner(d topology.Database) string { return d.Owner }
func app(d topology.Database) string   { return d.App }

func (m *mesh) migrateTask(d Domain) (supervise.Spec, error) {
	s := m.spec(supervise.Task, d.Service+"-migrate", m.program(d.Tasks+"-migrate"), "up")
	s.DependsOn = []string{d.Server + "-roles"}
	s.StopGrace = time.Minute // a migration that is broken off must be repaired by hand
	env, err := m.database(d, owner)
	s.Env = append(s.Env, env...)
	return s, err
}

func (m *mesh) seedTask(d Domain) (supervise.Spec, error) {
	s := m.spec(supervise.Task, d.SeedTask(), m.program(d.Tasks+"-seed"), SeedArgs(m.Mesh, "--if-empty")...)
	s.DependsOn = []string{d.Service + "-migrate"}
	env, err := m.database(d, owner)
	s.Env = append(s.Env, env...)
	return s, err
}

// SeedTask is the name of the component that seeds the domain's database.
func (d Domain) SeedTask() string { return d.Service + "-seed" }

// SeedArgs are the arguments of a domain's seeder.
func SeedArgs(m state.Mesh, more ...string) []string {
	return append([]string{"--scale", m.Scale, "--seed", strconv.FormatInt(m.Seed, 10), "--as-of", m.AsOf}, more...)
}

// SeedCommand is how the domain's seeder is run outside of the supervisor.
func SeedCommand(d state.Dir, m state.Mesh, store *secrets.Store, domain Domain, more ...string) (path string, args, env []string, err error) {
	s, err := (&mesh{m, d, store}).seedTask(domain)
	return s.Path, SeedArgs(m, more...), s.Env, err
}

func apiKeysFile(d state.Dir, domain Domain) string {
	return filepath.Join(d.Secrets(), "key-hashes", domain.Service+".json")
}

// WriteAPIKeys tells every service which keys to accept. Services read the file
// again when it changes.
func WriteAPIKeys(d state.Dir, store *secrets.Store) error {
	for _, domain := range Domains {
		if _, err := store.WriteAPIKeys(apiKeysFile(d, domain), domain.Service); err != nil {
			return err
		}
	}
	return nil
}

func (m *mesh) service(d Domain) (supervise.Spec, error) {
	port := m.Port(d.Port)
	s := m.spec(supervise.Server, d.Service, m.program(d.Program))
	s.DependsOn = []string{d.Server, d.SeedTask()}
	s.URL = fmt.Sprintf("http://localhost:%d", port)
	s.StopGrace = 30 * time.Second // it drains first
	s.Ready = get(http.DefaultClient, "http://"+loopback(port)+"/readyz")
	s.Alive = get(http.DefaultClient, "http://"+loopback(port)+"/livez")
	env, err := m.database(d, app)
	if err != nil {
		return s, err
	}
	keys := apiKeysFile(m.dir, d)
	if _, err := m.store.WriteAPIKeys(keys, d.Service); err != nil {
		return s, err
	}
	s.Env = append(append(s.Env, env...),
		"SERVICE_NAME="+d.Service,
		"LISTEN_ADDR="+loopback(port),
		"ADMIN_ADDR="+loopback(m.Port(d.Admin)),
		"API_KEYS_FILE="+keys)
	for _, logger := range Domains {
		if logger.Service != d.Logger {
			continue
		}
		key, err := m.store.APIKey(d.Service + "-logging")
		if err != nil {
			return s, err
		}
		s.Env = append(s.Env, "LOGGER_URL=http://"+loopback(m.Port(logger.Port)), "LOGGER_KEY="+key,
			"SPILL_DIR="+m.dir.Data(d.Service))
	}
	return s, nil
}

// trino starts when the data is there: its readiness includes a query, and
// until then the two processors of a small machine have other work.
func (m *mesh) trino(warmUp WarmUp) (supervise.Spec, error) {
	s := m.spec(supervise.Server, "trino", "")
	s.Group = Trino
	s.URL = fmt.Sprintf("https://localhost:%d", m.Port(topology.PortTrino))
	for _, d := range Domains {
		s.DependsOn = append(s.DependsOn, d.SeedTask())
	}
	if m.Tools.Trino == "" || m.Tools.Java == "" {
		s.Hold = "download"
		return s, nil
	}
	command, err := trino.Local(m.dir, m.Mesh, m.store)
	if err != nil {
		return s, err
	}
	s.Path, s.Args, s.Dir, s.Env = command.Path, command.Args, command.Dir, command.Env
	s.Nice = politeness
	s.Env = append(s.Env, "TRINO_CONFIGURATION="+command.Version)
	s.Files = []string{trino.TokenKeyFile(m.dir)}
	s.StartTimeout = 5 * time.Minute
	s.ProbeTimeout = 2 * time.Minute // the first queries take their time
	s.StopGrace = time.Minute
	ca, err := m.store.CA()
	if err != nil {
		return s, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true, // a probe must see whether new connections are taken
	}}
	var warm bool
	s.Prepare = func(ctx context.Context) error {
		warm = false
		return clearRemains(ctx, s.Dir, launcherPID)
	}
	s.Ready = func(ctx context.Context) error {
		if err := trinoStarted(ctx, client, s.URL+"/v1/info"); err != nil {
			return err
		}
		if warm {
			return nil
		}
		if err := warmUp(ctx); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		warm = true
		return nil
	}
	return s, nil
}

// politeness of Trino: a query that computes without end leaves the domains'
// services and databases nine tenths of a busy processor, and Trino starts in
// bearable time beside somebody's compiler.
const politeness = 10

// launcherPID is where Trino's launcher notes the process, below Trino's folder.
const launcherPID = "var/run/launcher.pid"

// trinoStarted asks the server itself: it listens long before it can answer
// queries.
func trinoStarted(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var info struct {
		Starting bool `json:"starting"`
	}
	body, err := read(ctx, client, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if info.Starting {
		return errors.New("still starting")
	}
	return nil
}

func get(client *http.Client, url string) supervise.Check {
	return func(ctx context.Context) error {
		_, err := read(ctx, client, url)
		return err
	}
}

func read(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return body, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Ports lists all ports of the mesh with the component that listens on each.
func Ports(m state.Mesh) map[int]string {
	ports := map[int]string{
		m.Port(topology.PortTrino):         "trino",
		m.Port(topology.PortTrinoInternal): "trino",
		m.Port(topology.PortCollector):     meshCollector,
		m.Port(topology.PortAuditSink):     meshAudit,
	}
	for _, s := range topology.Servers {
		ports[m.Port(s.Port)] = s.Name
	}
	if m.Lake() {
		for _, p := range []int{topology.PortObjectStore, topology.PortObjectStoreConsole, topology.PortObjectStoreAdmin} {
			ports[m.Port(p)] = objectStore
		}
		ports[m.Port(topology.PortHiveMetastore)] = metastore
		ports[m.Port(topology.PortDBTDocs)] = dbtDocs
		ports[m.Port(topology.PortMailbox)], ports[m.Port(topology.PortMailboxSMTP)] = mailbox, mailbox
		ports[m.Port(topology.PortGrafana)], ports[m.Port(topology.PortViewer)] = grafanaServer, meshViewer
		if m.Tools.Grafana == nil {
			ports[ViewerPort(m)] = meshViewer // and the other stays free
		}
		ports[m.Port(topology.PortHub)], ports[m.Port(topology.PortHubProxyAPI)] = hubProxy, hubProxy
		ports[m.Port(topology.PortHubAPI)] = hub
	}
	for n := range m.TrinoWorkers {
		ports[trino.WorkerPort(m, n+1)] = "trino-" + trino.WorkerID(n+1)
	}
	for _, d := range Domains {
		ports[m.Port(d.Port)] = d.Service
		ports[m.Port(d.Admin)] = d.Service
	}
	return ports
}

// Install copies the mesh's programs from the folder that holds them into the
// state folder, those only whose content differs, and returns their names. A program that runs
// keeps its old file until it is restarted.
func Install(d state.Dir, from string) (changed []string, err error) {
	for _, name := range Programs {
		done, err := install(filepath.Join(from, name), filepath.Join(d.Bin(), name))
		if errors.Is(err, os.ErrNotExist) {
			return changed, fmt.Errorf("install programs: %s is not there; build it with: make build", filepath.Join(from, name))
		}
		if err != nil {
			return changed, fmt.Errorf("install programs: %w", err)
		}
		if done {
			changed = append(changed, name)
		}
	}
	return changed, nil
}
