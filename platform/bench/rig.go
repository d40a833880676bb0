package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/fetch"
)

// A rig is what the claims are measured on: a PostgreSQL server with the
// databases of the domains, the services' programs, and the tools to compare with.
type rig struct {
	options
	folder   string
	cache    string
	server   *postgres
	tools    tools
	key      string // for every API
	password string // of every role
	running  []*process
	cursors  []string // of some pages of customers, the last page's last
}

// Sizes of the tables. The claims of the issue name them.
func (r *rig) customers() int {
	if r.short {
		return 3_000
	}
	return 300_000
}

// rounds is how often both sides are measured, and for how long.
func (r *rig) rounds(n int, length time.Duration) (int, time.Duration) {
	if r.short {
		return 2, length / 5
	}
	return n, length
}

const (
	salesDatabase     = "sales_data"
	seedDatabase      = "sales_seed"
	marketingDatabase = "marketing_data"
	loggerDatabase    = "sales_api"
)

func newRig(ctx context.Context, o options) (_ *rig, err error) {
	r := &rig{options: o, key: rand.Text(), password: rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if _, err := os.Stat(filepath.Join(o.bin, "sales-api")); err != nil {
		return nil, fmt.Errorf("%w: %w; build the programs with: make build", errUnreached, err)
	}
	if r.cache, err = fetch.CacheDir(); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	if r.folder, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	if r.tools, err = findTools(ctx, r.cache); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	binaries, err := fetch.PostgreSQL(ctx, r.cache, fetch.NewPrinter(os.Stderr).Report)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	if r.server, err = startPostgres(ctx, binaries, filepath.Join(r.folder, "postgres"), r.password); err != nil {
		return nil, err
	}
	return r, r.fill(ctx)
}

// fill makes the roles, the databases and their rows.
func (r *rig) fill(ctx context.Context) error {
	roles := []string{"sales_owner", "sales_app", "marketing_owner", "marketing_app", "apimetrics_owner", "apimetrics_app", "trino_ro", "grafana_ro", "notebook_ro"}
	for _, role := range roles {
		if err := r.exec(ctx, "postgres", fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, r.password)); err != nil {
			return err
		}
	}
	say("filling the databases")
	n := fmt.Sprint(r.customers())
	for _, d := range []struct {
		name, domain string
		seed         []string
	}{
		{salesDatabase, "sales", []string{"--scale", "load", "--rows", "customers=" + n, "--rows", "orders=" + n}},
		{seedDatabase, "sales", nil},
		{marketingDatabase, "marketing", []string{"--scale", "small"}},
		{loggerDatabase, "apimetrics", []string{"--scale", "small"}},
	} {
		owner := d.domain + "_owner"
		if err := r.exec(ctx, "postgres", fmt.Sprintf(`CREATE DATABASE %s OWNER %s`, d.name, owner)); err != nil {
			return err
		}
		if err := r.exec(ctx, d.name, `ALTER SCHEMA public OWNER TO `+owner); err != nil {
			return err
		}
		if err := r.runProgram(ctx, d.name, owner, d.domain+"-migrate", "up"); err != nil {
			return err
		}
		if d.seed == nil {
			continue
		}
		if err := r.runProgram(ctx, d.name, owner, d.domain+"-seed", append(d.seed, "--as-of", "2026-11-23")...); err != nil {
			return err
		}
	}
	// Rows just copied are frozen now, not in the middle of a round.
	return r.exec(ctx, salesDatabase, `VACUUM (FREEZE, ANALYZE) customers, orders`)
}

// url is how a role reaches a database; the password goes into PGPASSWORD.
func (r *rig) url(database, role string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, r.server.port, database)
}

// databaseEnv is the environment of a program that connects as the role.
func (r *rig) databaseEnv(database, role string) []string {
	return []string{
		"PATH=/usr/bin:/bin", "TZ=UTC", "HOME=" + r.folder,
		"DATABASE_URL=" + r.url(database, role), "PGPASSWORD=" + r.password,
	}
}

func (r *rig) exec(ctx context.Context, database string, statements ...string) (err error) {
	config, err := pgx.ParseConfig(r.url(database, "postgres"))
	if err != nil {
		return err
	}
	config.Password = r.password
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// runProgram runs one of the services' programs to its end.
func (r *rig) runProgram(ctx context.Context, database, role, name string, args ...string) error {
	_, err := r.run(ctx, r.databaseEnv(database, role), filepath.Join(r.bin, name), args...)
	return err
}

// keysFile writes the API keys that all services accept.
func (r *rig) keysFile() (string, error) {
	sum := sha256.Sum256([]byte(r.key))
	text, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"name": "bench", "sha256": hex.EncodeToString(sum[:]),
		"scopes": []string{"sales:read", "sales:write", "leads:read", "leads:ingest", "logs:write", "metrics:read"},
	}}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.folder, "keys.json")
	return path, os.WriteFile(path, text, 0o600)
}

// A service is one of the HTTP services, running.
type service struct {
	*process
	addr, admin string
}

// logged waits until the logger has everything that the service served.
func (s service) logged(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/metrics", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("wait for the request log: %w", err)
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return fmt.Errorf("wait for the request log: %w", err)
		}
		if bytes.Contains(text, []byte("\nrequest_log_queued 0\n")) && bytes.Contains(text, []byte("\nrequest_log_spilled 0\n")) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serviceOf starts a service in its default configuration but for the rate limit,
// which would hide what is measured.
func (r *rig) serviceOf(ctx context.Context, program, database, role string, more ...string) (service, error) {
	keys, err := r.keysFile()
	if err != nil {
		return service{}, err
	}
	addr, err := freeAddr()
	if err != nil {
		return service{}, err
	}
	admin, err := freeAddr()
	if err != nil {
		return service{}, err
	}
	env := append(r.databaseEnv(database, role),
		"LISTEN_ADDR="+addr, "ADMIN_ADDR="+admin, "API_KEYS_FILE="+keys, "RATE_LIMIT=10000000")
	p, err := r.start(ctx, append(env, more...), filepath.Join(r.bin, program))
	if err != nil {
		return service{}, err
	}
	return service{p, addr, admin}, p.ready(ctx, "http://"+addr+"/readyz")
}

// api starts a service with the API metrics logger beside it.
func (r *rig) api(ctx context.Context, program, database, role string) (service, error) {
	logger, err := r.serviceOf(ctx, "api-metrics-logger", loggerDatabase, "apimetrics_app")
	if err != nil {
		return service{}, err
	}
	spill, err := os.MkdirTemp(r.folder, "spill-")
	if err != nil {
		return service{}, err
	}
	return r.serviceOf(ctx, program, database, role, "LOGGER_URL=http://"+logger.addr, "LOGGER_KEY="+r.key, "SPILL_DIR="+spill)
}

func (r *rig) salesAPI(ctx context.Context) (service, error) {
	return r.api(ctx, "sales-api", salesDatabase, "sales_app")
}

// stopAll ends the services of a claim.
func (r *rig) stopAll() error {
	var errs []error
	for i := len(r.running) - 1; i >= 0; i-- {
		errs = append(errs, r.running[i].stop())
	}
	r.running = nil
	return errors.Join(errs...)
}

func (r *rig) close() error {
	err := r.stopAll()
	if r.server != nil {
		err = errors.Join(err, r.server.stop())
	}
	if r.folder != "" {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}

// pgbench runs the statement of a script for the time and gives transactions/s.
func (r *rig) pgbench(ctx context.Context, database, role, script string, connections int, length time.Duration, variables ...string) (float64, error) {
	file := filepath.Join(r.folder, "script.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return 0, err
	}
	args := []string{"-n", "-M", "prepared", "-f", file, "-c", fmt.Sprint(connections), "-j", fmt.Sprint(min(2, connections)), "-T", fmt.Sprint(max(1, int(length.Seconds())))}
	for _, v := range variables {
		args = append(args, "-D", v)
	}
	args = append(args, "-h", "127.0.0.1", "-p", fmt.Sprint(r.server.port), "-U", role, database)
	out, err := r.run(ctx, r.tools.env("PGPASSWORD="+r.password), r.tools.pgbench, args...)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(out, "tps = ")
	var tps float64
	if _, err := fmt.Sscanf(after, "%g", &tps); err != nil || strings.Contains(out, "aborted") {
		return 0, fmt.Errorf("pgbench says no rate: %s", out)
	}
	return tps, nil
}
