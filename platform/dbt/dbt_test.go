package dbt

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Every requirement has hashes, and none says where it came from.
func TestLock(t *testing.T) {
	hash := regexp.MustCompile(`^    --hash=sha256:[0-9a-f]{64}( \\)?$`)
	name := regexp.MustCompile(`^([a-z0-9-]+)==\S+ \\$`)
	names := map[string]int{}
	current := ""
	for line := range strings.Lines(Lock) {
		line = strings.TrimRight(line, "\n")
		switch found := name.FindStringSubmatch(line); {
		case found != nil:
			current = found[1]
			names[current] = 0
		case hash.MatchString(line) && current != "":
			names[current]++
		default:
			t.Errorf("neither a requirement nor a hash: %q", line)
		}
	}
	for n, hashes := range names {
		if hashes == 0 {
			t.Errorf("%s has no hash", n)
		}
	}
	if len(names) != 58 || names["dbt-core"] == 0 || names["dbt-trino"] == 0 || !strings.HasPrefix(Version, "1.") {
		t.Errorf("%d requirements, dbt %s", len(names), Version)
	}
}

func TestCommand(t *testing.T) {
	for args, want := range map[string]struct {
		name                       string
		writes, publishes, isWhole bool
	}{
		"build":                              {"build", true, true, true},
		"--quiet build --full-refresh":       {"build", true, true, true},
		"build --select mart_sales_daily":    {"build", true, true, false},
		"build --exclude=mart_sales_daily":   {"build", true, true, false},
		"build --target prod":                {"build", true, true, true},
		"build --target dev":                 {"build", false, false, false},
		"build -t dev":                       {"build", false, false, false},
		"build --target=dev":                 {"build", false, false, false},
		"build --empty":                      {"build", true, false, false},
		"build --help":                       {"build", false, false, false},
		"run":                                {"run", true, false, false},
		"retry":                              {"retry", true, false, false},
		"test":                               {"test", false, false, false},
		"docs generate":                      {"docs", false, false, false},
		"source freshness":                   {"source", false, false, false},
		"--log-level debug ls":               {"ls", false, false, false},
		"--version":                          {"", false, false, false},
		"build --resource-type=model":        {"build", true, true, false},
		"build --exclude-resource-type test": {"build", true, true, false},
	} {
		c := Command{strings.Fields(args)}
		if c.Name() != want.name || c.Writes() != want.writes || c.Publishes() != want.publishes || c.Whole() != want.isWhole {
			t.Errorf("%s: %s, writes %t, publishes %t, whole %t", args, c.Name(), c.Writes(), c.Publishes(), c.Whole())
		}
	}
}

// project is the one of the clone.
const project = Project("../../domains")

func TestInstall(t *testing.T) {
	to := Project(filepath.Join(t.TempDir(), "a", "b"))
	if err := project.Install(to); err != nil {
		t.Fatal(err)
	}
	before, err := project.Sum()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone.sql", "target/left.sql"} {
		if err := write(filepath.Join(string(to), name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := to.Sum(); err != nil || sum == before {
		t.Errorf("a model more: %v %v", sum == before, err)
	}
	if err := project.Install(to); err != nil {
		t.Fatal(err)
	}
	if sum, err := to.Sum(); err != nil || sum != before {
		t.Errorf("installed again: %v %v", sum == before, err)
	}
	if text, err := os.ReadFile(filepath.Join(string(to), profilesFile)); err != nil || !bytes.Equal(text, profiles) {
		t.Errorf("profiles %v", err)
	}
	if err := Project(t.TempDir()).Install(to); err == nil || !strings.Contains(err.Error(), projectFile) {
		t.Errorf("no project: %v", err)
	}
}

func TestCopyFor(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(ca, []byte("pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "copy")
	if err := project.CopyFor(to, Connection{"localhost", "30808", "mike", "secret", ca}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(to, profilesFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(to, profilesFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`target: "dev"`, `port: 30808`, `user: "mike"`, `password: "secret"`, `schema: "dev_mike"`, `cert: "` + to + `/ca.pem"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "env_var") {
		t.Errorf("variables are left in\n%s", text)
	}
	if err := project.CopyFor(to, Connection{CAFile: ca}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second copy: %v", err)
	}
}

func TestDocsHandler(t *testing.T) {
	work := t.TempDir()
	server := httptest.NewServer(DocsHandler(work))
	defer server.Close()
	get := func(path string) (int, string, http.Header) {
		t.Helper()
		resp, err := http.Get(server.URL + path) //nolint:noctx
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Header
	}
	if code, body, h := get("/"); code != 503 || !strings.Contains(body, "meesh dbt build") || h.Get("Retry-After") == "" {
		t.Errorf("before the first build: %d %s", code, body)
	}
	if code, _, _ := get("/livez"); code != 200 {
		t.Errorf("livez %d", code)
	}
	dir := docsLink(work)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Clone(docsFiles), "run_results.json") {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("<script>x()</script>"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, h := get("/")
	policy := h.Get("Content-Security-Policy")
	// printf 'x()' | openssl dgst -sha256 -binary | base64
	if code != 200 || !strings.Contains(policy, "script-src 'sha256-D6IGS8VMvCoyaR/l0h9tERrBTATY01CoPS7l6xDv0kI=';") ||
		strings.Contains(policy, "unsafe-eval") || !strings.Contains(policy, "default-src 'none'") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", code, h)
	}
	for path, want := range map[string]int{"/index.html": 200, "/manifest.json": 200, "/catalog.json": 200, "/run_results.json": 404, "/../docs/index.html": 404, "/..%2fdocs%2findex.html": 404, "/a/index.html": 404} {
		if got, _, _ := get(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// database makes one with the schemas of the marts.
func database(t *testing.T) *pgx.Conn {
	t.Helper()
	given := os.Getenv("TEST_DATABASE_URL")
	if given == "" {
		t.Fatal("TEST_DATABASE_URL is not set: run `make test/unit`, which starts a PostgreSQL, or name a superuser's URL of a server made for tests")
	}
	u, err := url.Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	name := "dbt_" + strings.ToLower(rand.Text()[:8])
	if _, err := admin.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	u.Path = name
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		_ = conn.Close(ctx)
		if _, err := admin.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	run(t, conn, `CREATE SCHEMA marts; CREATE SCHEMA marts_next; CREATE SCHEMA marts_old`)
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statements string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname LIKE 'marts%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		var n1 int
		if err := conn.QueryRow(t.Context(), `SELECT sum(x) FROM `+n).Scan(&n1); err != nil {
			t.Fatal(err)
		}
		all = append(all, n+"="+string(rune('0'+n1)))
	}
	return strings.Join(all, " ")
}

func TestPublish(t *testing.T) {
	conn := database(t)
	run(t, conn, `CREATE TABLE marts_next.a AS SELECT 1 AS x; CREATE TABLE marts_next.b AS SELECT 2 AS x; CREATE TABLE marts_next.tmp_left AS SELECT 9 AS x`)
	if err := Publish(t.Context(), conn, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, conn); got != "marts.a=1 marts.b=2" {
		t.Error(got)
	}
	var known int // to the planner, before autovacuum came by
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'marts'::regnamespace AND reltuples = 1`).Scan(&known); err != nil || known != 2 {
		t.Errorf("%d of 2 new marts have statistics: %v", known, err)
	}
	if err := Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, conn); got != "marts.a=1 marts.b=2 marts_next.a=1 marts_next.b=2" {
		t.Error(got)
	}
	// b was renamed to c: it leaves with the same transaction.
	run(t, conn, `UPDATE marts_next.a SET x = 3; CREATE TABLE marts_next.c AS SELECT 4 AS x`)
	if err := Publish(t.Context(), conn, []string{"a", "c"}); err != nil {
		t.Fatal(err)
	}
	const after = "marts.a=3 marts.c=4 marts_old.a=1 marts_old.b=2"
	if got := contents(t, conn); got != after {
		t.Error(got)
	}
	// A mart that was not built: nothing moves.
	if err := Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `DROP TABLE marts_next.c`)
	if err := Publish(t.Context(), conn, []string{"a", "c"}); err == nil || !strings.Contains(err.Error(), "c was not built") {
		t.Error(err)
	}
	if got := contents(t, conn); got != "marts.a=3 marts.c=4 marts_next.a=3 marts_old.a=1 marts_old.b=2" {
		t.Error(got)
	}
}

// A reader in a transaction makes the swap wait, not fail.
func TestPublishWaitsForReaders(t *testing.T) {
	conn := database(t)
	run(t, conn, `CREATE TABLE marts.a AS SELECT 1 AS x; CREATE TABLE marts_next.a AS SELECT 2 AS x`)
	reader, err := pgx.ConnectConfig(t.Context(), conn.Config())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := reader.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT * FROM marts.a`); err != nil {
		t.Fatal(err)
	}
	published := make(chan error, 1)
	go func() { published <- Publish(context.Background(), conn, []string{"a"}) }()
	observer, err := pgx.ConnectConfig(t.Context(), conn.Config())
	if err != nil {
		t.Fatal(err)
	}
	for waiting := false; !waiting; {
		if err := observer.QueryRow(t.Context(), `SELECT count(*) > 0 FROM pg_locks WHERE NOT granted`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if got := contents(t, observer); got != "marts.a=2 marts_old.a=1" {
		t.Error(got)
	}
	_ = reader.Close(t.Context())
	_ = observer.Close(t.Context())
}
