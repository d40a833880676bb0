package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/postgrestest"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

const password = "only-for-this-test"

var salesDB = topology.Servers[0]

// newMesh lays out a state folder of a mesh on ports that are free now.
func newMesh(t *testing.T) (state.Dir, state.Mesh) {
	t.Helper()
	d := state.Dir(t.TempDir())
	for _, dir := range []string{d.Run(), d.Logs(), d.Bin(), d.TLS(), d.Trino(), filepath.Dir(d.Data("x"))} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return d, state.Mesh{
		PortOffset: postgrestest.Port(t) - salesDB.Port, Scale: "demo", Seed: 42, AsOf: "2026-01-31",
		Tools: state.Tools{PostgreSQL: postgrestest.Binaries()},
	}
}

func initServer(t *testing.T, d state.Dir, m state.Mesh) {
	t.Helper()
	if err := InitServer(d, m, salesDB, password, t.Output()); err != nil {
		t.Fatal(err)
	}
}

// serve runs the server under a supervisor.
func serve(t *testing.T, d state.Dir, m state.Mesh) *supervise.Supervisor {
	t.Helper()
	s := supervise.New(d.Run(), supervise.DefaultTiming, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(s.Stop)
	spec := (&mesh{m, d, nil}).postgresServer(salesDB)
	spec.DependsOn = nil
	if _, err := s.Reconcile([]supervise.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitServer waits until the server is ready as another process than not.
func awaitServer(t *testing.T, s *supervise.Supervisor, not int) int {
	t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		all, changed := s.Status()
		if all[0].Ready && all[0].PID != not {
			return all[0].PID
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the server is not ready: %+v", all[0])
		}
	}
}

func connect(t *testing.T, m state.Mesh, password string) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", m.Port(salesDB.Port)))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = password
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func ask(t *testing.T, m state.Mesh, sql string) string {
	t.Helper()
	conn, err := connect(t, m, password)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestInitServerMakesAServerAsWeNeedIt(t *testing.T) {
	d, m := newMesh(t)
	initServer(t, d, m)
	awaitServer(t, serve(t, d, m), 0)
	for sql, want := range map[string]string{
		`SHOW server_version`:   "15.18",
		`SHOW server_encoding`:  "UTF8",
		`SHOW listen_addresses`: "127.0.0.1",
		`SHOW timezone`:         "UTC",
		`SELECT upper('žluťoučký') || datctype FROM pg_database WHERE datname = 'template1'`:        "ŽLUŤOUČKÝC.UTF-8",
		`SELECT string_agg(DISTINCT auth_method || ' ' || type, ',') FROM pg_hba_file_rules`:        "scram-sha-256 host",
		`SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'postgres'`:                    "SCRAM-SHA-256$",
		`SELECT count(*)::text FROM pg_available_extensions WHERE name = 'postgres_fdw'`:            "1",
		`SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE NOT datistemplate`: "postgres",
	} {
		if got := ask(t, m, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	_, err := connect(t, m, "wrong")
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "28P01" {
		t.Errorf("wrong password: %v", err)
	}
	identifier := ask(t, m, `SELECT system_identifier::text FROM pg_control_system()`)
	initServer(t, d, m) // again, while it runs
	if now := ask(t, m, `SELECT system_identifier::text FROM pg_control_system()`); now != identifier {
		t.Errorf("the server was initialised twice: %s, then %s", identifier, now)
	}
}

func TestInitServerRemovesWhatAnInterruptedOneLeft(t *testing.T) {
	d, m := newMesh(t)
	initServer(t, d, m)
	// As if it had been killed while its server ran.
	work := d.Data(salesDB.Name) + workInfix + "1"
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	cluster := filepath.Join(work, "data")
	if err := os.Rename(d.Data(salesDB.Name), cluster); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(m.Tools.PostgreSQL, "bin", "postgres"), "-D", cluster, "-p", strconv.Itoa(m.Port(salesDB.Port)), "-c", "unix_socket_directories=")
	cmd.Dir = cluster
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed, and meant to be
		close(exited)
	}()
	defer func() { _ = cmd.Process.Kill() }()
	awaitPort(t, m.Port(salesDB.Port))
	// And another that had not come as far.
	if err := os.Mkdir(d.Data(salesDB.Name)+workInfix+"2", 0o700); err != nil {
		t.Fatal(err)
	}

	initServer(t, d, m)
	<-exited
	left, err := filepath.Glob(d.Data(salesDB.Name) + workInfix + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	awaitServer(t, serve(t, d, m), 0)
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := acceptsConnections(ctx, port)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func TestServerHealsAfterKill(t *testing.T) {
	d, m := newMesh(t)
	initServer(t, d, m)
	s := serve(t, d, m)
	pid := awaitServer(t, s, 0)
	conn, err := connect(t, m, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 'yes'::text AS answer`); err != nil {
		t.Fatal(err)
	}
	// A session at work outlives the main process for a moment.
	go func() { _, _ = conn.Exec(context.Background(), `SELECT count(*) FROM generate_series(1, 5000000)`) }()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitServer(t, s, pid)
	if got := ask(t, m, `SELECT answer FROM kept`); got != "yes" {
		t.Errorf("kept: %q", got)
	}
}

func TestServerStartsInSpiteOfAStrangersNumberInItsPidFile(t *testing.T) {
	d, m := newMesh(t)
	initServer(t, d, m)
	// After a restart of the machine the number may be anybody's; PostgreSQL
	// believes that of an own process.
	stranger := exec.Command("sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Wait() }()
	defer func() { _ = stranger.Process.Kill() }()
	content := fmt.Sprintf("%d\n%s\n1700000000\n%d\n\n127.0.0.1\n", stranger.Process.Pid, d.Data(salesDB.Name), m.Port(salesDB.Port))
	if err := os.WriteFile(filepath.Join(d.Data(salesDB.Name), "postmaster.pid"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitServer(t, serve(t, d, m), 0)
}

func TestAcceptsConnectionsTellsWhatIsNotPostgreSQL(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := acceptsConnections(ctx, l.Addr().(*net.TCPAddr).Port); err == nil {
		t.Error("an HTTP server passed for PostgreSQL")
	}
	if err := acceptsConnections(ctx, postgrestest.Port(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestComponentsAreCompleteAndInOrder(t *testing.T) {
	d, m := newMesh(t)
	store, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	specs, err := Components(d, m, store, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]supervise.Spec{}
	for _, s := range specs {
		byName[s.Name] = s
		if s.Kind == supervise.Task && s.URL != "" {
			t.Errorf("task %s has a URL", s.Name)
		}
	}
	// Written by hand: what must have happened before each part is of use.
	for name, needs := range map[string][]string{
		"sales-db":                     {"sales-db-init"},
		"sales-db-roles":               {"sales-db"},
		"sales-api-migrate":            {"sales-db-roles"},
		"sales-api-seed":               {"sales-api-migrate"},
		"sales-api":                    {"sales-db", "sales-api-seed"},
		"sales-api-logger-migrate":     {"sales-api-db-roles"},
		"sales-api-logger":             {"sales-api-db", "sales-api-logger-seed"},
		"marketing-ingest":             {"marketing-db", "marketing-ingest-seed"},
		"marketing-api-logger-migrate": {"marketing-db-roles"},
		"marketing-api-logger":         {"marketing-db", "marketing-api-logger-seed"},
		"platform-db-roles":            {"platform-db"},
		"trino":                        {"sales-api-seed", "marketing-ingest-seed", "sales-api-logger-seed", "marketing-api-logger-seed"},
	} {
		if got := byName[name].DependsOn; !slices.Equal(got, needs) {
			t.Errorf("%s depends on %v, want %v", name, got, needs)
		}
	}
	if hold := byName["trino"].Hold; hold != "download" {
		t.Errorf("trino without its files is held by %q", hold)
	}
	env := strings.Join(byName["sales-api"].Env, "\n")
	for _, want := range []string{
		fmt.Sprintf("DATABASE_URL=postgres://sales_app@127.0.0.1:%d/sales_data?sslmode=disable", m.Port(topology.PortSalesDB)),
		fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", m.Port(topology.PortSalesAPI)),
		fmt.Sprintf("LOGGER_URL=http://127.0.0.1:%d", m.Port(topology.PortSalesAPILogger)),
		"SPILL_DIR=" + d.Data("sales-api"),
		"LOGGER_KEY=", "PGPASSWORD=", "API_KEYS_FILE=" + d.Secrets(),
	} {
		if !strings.Contains(env, want) {
			t.Errorf("sales-api lacks %s", want)
		}
	}
	for _, s := range specs {
		if arguments := strings.Join(s.Args, " "); strings.Contains(env, "PGPASSWORD=") && strings.Contains(arguments, "PGPASSWORD") {
			t.Errorf("%s shows a password to everybody: %s", s.Name, arguments)
		}
	}
	if n := len(Ports(m)); n != 16 {
		t.Errorf("%d ports; the topology has 16", n)
	}
}

func TestInstallCopiesOnlyWhatChanged(t *testing.T) {
	from := t.TempDir()
	d := state.Dir(t.TempDir())
	if err := os.Mkdir(d.Bin(), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(d, from); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("nothing is built: %v", err)
	}
	for _, p := range Programs {
		if err := os.WriteFile(filepath.Join(from, p), []byte(p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if changed, err := Install(d, from); err != nil || !slices.Equal(changed, Programs) {
		t.Errorf("first: %v %v", changed, err)
	}
	if changed, err := Install(d, from); err != nil || len(changed) > 0 {
		t.Errorf("second: %v %v", changed, err)
	}
	running, err := os.Open(filepath.Join(d.Bin(), "sales-api"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Close() }()
	if err := os.WriteFile(filepath.Join(from, "sales-api"), []byte("changed"), 0o700); err != nil {
		t.Fatal(err)
	}
	if changed, err := Install(d, from); err != nil || !slices.Equal(changed, []string{"sales-api"}) {
		t.Errorf("third: %v %v", changed, err)
	}
	if b, err := io.ReadAll(running); err != nil || string(b) != "sales-api" {
		t.Errorf("the program that ran was changed under its feet: %q %v", b, err)
	}
	info, err := os.Stat(filepath.Join(d.Bin(), "sales-api"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v %v; the servers' account must execute it", info.Mode(), err)
	}
}
