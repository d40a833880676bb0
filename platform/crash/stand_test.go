//go:build crash

package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/postgrestest"
)

// A stand is a PostgreSQL server with the databases of the domains, which may
// be killed, and the services on it.
type stand struct {
	t        *testing.T
	dir      string
	port     int
	password string
	key      string // API key with every scope
	database *process
}

// A process is a program that runs until it is killed or ends.
type process struct {
	t       *testing.T
	command *exec.Cmd
	start   func() *exec.Cmd
	log     string
	done    chan struct{}
}

func (s *stand) newProcess(name string, start func() *exec.Cmd) *process {
	p := &process{t: s.t, start: start, log: filepath.Join(s.dir, name+".log")}
	p.run()
	s.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if s.t.Failed() {
			text, err := os.ReadFile(p.log)
			s.t.Logf("%s, %v:\n%s", p.log, err, tail(text, 3000))
		}
	})
	return p
}

func tail(text []byte, n int) []byte { return text[max(len(text)-n, 0):] }

func (p *process) run() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	p.command = p.start()
	p.command.Stdout, p.command.Stderr = log, log
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	done, command := make(chan struct{}), p.command
	p.done = done
	go func() {
		_ = command.Wait() // how it ended is in its log
		_ = log.Close()
		close(done)
	}()
}

func (p *process) signal(s syscall.Signal) { _ = p.command.Process.Signal(s) } // it may be gone

// end sends the signal and waits.
func (p *process) end(s syscall.Signal) {
	p.t.Helper()
	p.signal(s)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatalf("%s does not end after %v", p.log, s)
	}
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, dir: t.TempDir(), port: postgrestest.Port(t), password: rand.Text(), key: rand.Text()}
	data := filepath.Join(s.dir, "data")
	log, err := os.Create(filepath.Join(s.dir, "initdb.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // a log
	binaries := postgrestest.Binaries()
	initial := embeddedpostgres.NewDatabase(postgrestest.Config(binaries, s.dir, s.port, s.password, log))
	if err := initial.Start(); err != nil {
		t.Fatal(err)
	}
	if err := initial.Stop(); err != nil {
		t.Fatal(err)
	}
	// Everything that concerns durability is as PostgreSQL ships it.
	s.database = s.newProcess("postgres", func() *exec.Cmd {
		return exec.Command(filepath.Join(binaries, "bin", "postgres"), "-D", data, "-p", strconv.Itoa(s.port),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")
	})
	s.awaitDatabase()
	admin := s.connect("postgres", "postgres")
	for _, role := range []string{"sales_owner", "sales_app", "marketing_owner", "marketing_app", "apimetrics_owner", "apimetrics_app", "trino_ro", "grafana_ro", "notebook_ro"} {
		s.exec(admin, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, s.password))
	}
	for database, domain := range map[string]string{"sales_data": "sales", "marketing_data": "marketing", "sales_api": "apimetrics"} {
		s.exec(admin, `CREATE DATABASE `+database+` OWNER `+domain+`_owner`)
		s.exec(s.connect("postgres", database), `ALTER SCHEMA public OWNER TO `+domain+`_owner`)
		migrate := s.command(domain+"-migrate", database, domain+"_owner")
		migrate.Args = append(migrate.Args, "up")
		if out, err := migrate.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", migrate, err, out)
		}
	}
	s.exec(s.connect("sales_owner", "sales_data"), `
		INSERT INTO customers (customer_name, email, region, segment)
		SELECT 'Customer ' || n, 'customer' || n || '@example.com', 'EMEA', 'Consumer' FROM generate_series(1, 1000) AS n`)
	s.exec(s.connect("marketing_owner", "marketing_data"), `
		INSERT INTO campaigns (campaign_name, channel, budget, starts_on) VALUES ('Autumn', 'Email', 1000, '2026-01-01')`)
	sum := sha256.Sum256([]byte(s.key))
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"name": "crash", "sha256": hex.EncodeToString(sum[:]),
		"scopes": []string{"sales:read", "sales:write", "leads:read", "leads:ingest", "logs:write", "metrics:read"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.keys(), keys, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stand) keys() string { return filepath.Join(s.dir, "keys.json") }

func (s *stand) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.port, database)
}

// dial connects as the role.
func (s *stand) dial(role, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return pgx.Connect(ctx, strings.Replace(s.url(role, database), "@", ":"+s.password+"@", 1))
}

func (s *stand) connect(role, database string) *pgx.Conn {
	s.t.Helper()
	conn, err := s.dial(role, database)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *stand) exec(conn *pgx.Conn, sql string) {
	s.t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// count gives the number that the query finds.
func (s *stand) count(database, sql string, args ...any) (n int64) {
	s.t.Helper()
	conn := s.connect("postgres", database)
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// awaitDatabase starts the server, if it is not running, until it accepts: after
// kill -9 it refuses to start while processes of its predecessor are left.
func (s *stand) awaitDatabase() {
	s.t.Helper()
	s.await("the database", func() bool {
		select {
		case <-s.database.done:
			s.database.run()
		default:
		}
		conn, err := s.dial("postgres", "postgres")
		if err != nil {
			return false
		}
		return conn.Close(context.Background()) == nil
	})
}

func (s *stand) await(what string, reached func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !reached() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *stand) command(program, database, role string) *exec.Cmd {
	command := exec.Command(postgrestest.Program(program))
	command.Env = []string{"PATH=/usr/bin:/bin", "TZ=UTC", "DATABASE_URL=" + s.url(role, database), "PGPASSWORD=" + s.password}
	return command
}

// A service is one of the HTTP programs, running.
type service struct {
	*process
	base, admin string
	client      *http.Client
	key         string
}

// service starts a program; more is added to its environment.
func (s *stand) service(name, program, database, role string, more ...string) *service {
	s.t.Helper()
	port, admin := postgrestest.Port(s.t), postgrestest.Port(s.t)
	v := &service{
		base: fmt.Sprintf("http://127.0.0.1:%d", port), admin: fmt.Sprintf("http://127.0.0.1:%d", admin), key: s.key,
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
	v.process = s.newProcess(name, func() *exec.Cmd {
		command := s.command(program, database, role)
		command.Env = append(append(command.Env, "SERVICE_NAME="+name, "RATE_LIMIT=1000000", "API_KEYS_FILE="+s.keys(),
			fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", port), fmt.Sprintf("ADMIN_ADDR=127.0.0.1:%d", admin)), more...)
		return command
	})
	s.awaitReady(v)
	return v
}

func (s *stand) awaitReady(v *service) {
	s.t.Helper()
	s.await(v.log, func() bool {
		status, _, err := v.send("GET", "/readyz", "", "")
		return err == nil && status == http.StatusOK
	})
}

// restart runs a service that has ended, and waits until it is ready.
func (s *stand) restart(v *service) {
	s.t.Helper()
	v.run()
	s.awaitReady(v)
}

// send sends a request and gives the answer.
func (v *service) send(method, path, body, idempotencyKey string) (status int, answer []byte, err error) {
	return send(v.client, v.key, method, v.base+path, body, idempotencyKey)
}

func send(client *http.Client, key, method, url, body, idempotencyKey string) (status int, answer []byte, err error) {
	request, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to the end below
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// requestLog gives the counts of the service's request log, all of one moment.
func (s *stand) requestLog(v *service) (counts struct{ served, stored, spilled, queued, dropped int64 }) {
	s.t.Helper()
	_, text, err := send(v.client, "", "GET", v.admin+"/metrics", "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		for name, to := range map[string]*int64{
			"request_log_served_total ": &counts.served, "request_log_stored_total ": &counts.stored, "request_log_spilled ": &counts.spilled,
			"request_log_queued ": &counts.queued, "request_log_dropped_total ": &counts.dropped,
		} {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				n, err := strconv.ParseFloat(value, 64)
				if err != nil {
					s.t.Fatal(err)
				}
				*to, found = int64(n), found+1
			}
		}
	}
	if found != 5 || counts.served != counts.stored+counts.spilled+counts.queued+counts.dropped {
		s.t.Errorf("%s: %d counts that do not add up: %+v", v.log, found, counts)
	}
	return counts
}
