//go:build openapi

package openapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/freeport"
)

// A service is one of the HTTP programs with a database of its own.
type service struct {
	program, domain, database string
	scopes                    []string
	before                    []request // what makes the rest of the data
}

// examplesVariable says how many requests of each kind an operation gets.
const examplesVariable = "SCHEMATHESIS_EXAMPLES"

var (
	//go:embed schemathesis.toml
	config []byte
	//go:embed hooks.py
	hooks []byte
)

var services = []service{
	{"sales-api", "sales", "sales_data", []string{"sales:read", "sales:write"}, nil},
	{"marketing-ingest", "marketing", "marketing_data", []string{"leads:read", "leads:ingest"}, deadLetters()},
	{"api-metrics-logger", "apimetrics", "sales_api", []string{"logs:write", "metrics:read"}, nil},
}

// A request is one that must succeed.
type request struct{ method, path, mediaType, body string }

// deadLetters makes dead letters, mended so that they can be driven, under the
// ids of schemathesis.toml.
func deadLetters() []request {
	const letters = 20
	list := []request{{"POST", "/v1/leads/import", "text/csv", "email,full_name,source,campaign_id\n" + strings.Repeat("nobody,Nobody,Website,1\n", letters)}}
	for i := range letters {
		list = append(list, request{"PATCH", fmt.Sprintf("/v1/leads/dead-letters/%d", i+1), "application/json", `{"raw": "mended@example.com,Mended,Website,1"}`})
	}
	return list
}

func (r request) send(t *testing.T, base, key string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), r.method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + key, "Content-Type": r.mediaType, "Idempotency-Key": "before", "If-Match": "*"} {
		q.Header.Set(name, value)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close() //nolint:errcheck // read below
	if text, err := io.ReadAll(a.Body); err != nil || a.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", r.method, r.path, a.StatusCode, text, err)
	}
}

// Every service gets requests that fit its description and requests that do
// not, and answers as it says.
func TestServicesDoWhatTheirDescriptionsSay(t *testing.T) {
	schemathesis := os.Getenv("SCHEMATHESIS")
	if schemathesis == "" || os.Getenv("TEST_DATABASE_URL") == "" {
		t.Fatal("SCHEMATHESIS and TEST_DATABASE_URL are not set: run make test/openapi")
	}
	for _, s := range services {
		t.Run(s.program, func(t *testing.T) {
			base, key := s.start(t)
			for _, r := range s.before {
				r.send(t, base, key)
			}
			s.attack(t, schemathesis, base, key)
		})
	}
}

// attack runs schemathesis; what it finds is in its output.
func (s service) attack(t *testing.T, schemathesis, base, key string) {
	t.Helper()
	folder := t.TempDir() // hypothesis leaves files where it runs
	for name, text := range map[string][]byte{"schemathesis.toml": config, "hooks.py": hooks} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report := filepath.Join(folder, "report.json")
	command := exec.CommandContext(t.Context(), schemathesis, "run", base+"/openapi.json", "--header", "Authorization: Bearer "+key,
		"--checks", "all", "--max-examples", cmp.Or(os.Getenv(examplesVariable), "40"), "--no-color", "--report", "json", "--report-json-path", report)
	command.Dir = folder
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("schemathesis: %v", err)
	}
	checkReport(t, report)
}

// checkReport fails unless every operation was tried in every way, and did what
// it is for at least once.
func checkReport(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Complete   bool
		Operations struct{ Total, Tested int }
		ValidRates map[string]map[string]struct{ Accepted int } `json:"valid_rates"`
		Phases     map[string]struct{ Status string }
		Cases      struct{ Generated int } `json:"test_cases"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	o := report.Operations
	if !report.Complete || o.Total == 0 || o.Tested != o.Total || len(report.ValidRates) != o.Total || report.Phases["coverage"].Status != "success" || report.Phases["fuzzing"].Status != "success" {
		t.Errorf("schemathesis tested %d of %d operations: %s", o.Tested, o.Total, text)
	}
	for operation, phases := range report.ValidRates {
		accepted := 0
		for _, phase := range phases {
			accepted += phase.Accepted
		}
		if accepted == 0 {
			t.Errorf("%s never succeeded: none of the requests got to what it does", operation)
		}
	}
	t.Logf("%d requests to %d operations", report.Cases.Generated, o.Tested)
}

// start runs the shipped program on a database of its own, with a little data.
func (s service) start(t *testing.T) (base, key string) {
	t.Helper()
	admin, err := url.Parse(os.Getenv("TEST_DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := admin.User.Password()
	database := s.database + "_" + strings.ToLower(rand.Text()[:8])
	execute(t, admin.String(), fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s_owner LOGIN PASSWORD '%s'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`, s.domain, password))
	for _, role := range []string{s.domain + "_app", "trino_ro", "grafana_ro", "notebook_ro"} {
		execute(t, admin.String(), fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s LOGIN PASSWORD '%s'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`, role, password))
	}
	execute(t, admin.String(), `CREATE DATABASE `+database+` OWNER `+s.domain+`_owner`)
	own := *admin
	own.Path = "/" + database
	execute(t, own.String(), `ALTER SCHEMA public OWNER TO `+s.domain+`_owner`)
	command := func(role, program string, args ...string) *exec.Cmd {
		own.User = url.User(role)
		c := exec.Command(filepath.Join("..", "..", "bin", program), args...)
		c.Env = []string{"PATH=/usr/bin:/bin", "TZ=UTC", "DATABASE_URL=" + own.String(), "PGPASSWORD=" + password}
		return c
	}
	for _, c := range []*exec.Cmd{
		command(s.domain+"_owner", s.domain+"-migrate", "up"),
		command(s.domain+"_owner", s.domain+"-seed", "--scale", "small"),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
	key = rand.Text()
	sum := sha256.Sum256([]byte(key))
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]any{"name": "schemathesis", "sha256": hex.EncodeToString(sum[:]), "scopes": s.scopes}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	base = fmt.Sprintf("http://127.0.0.1:%d", port)
	c := command(s.domain+"_app", s.program)
	c.Env = append(c.Env, "RATE_LIMIT=1000000", "API_KEYS_FILE="+file, fmt.Sprintf("LISTEN_ADDR=127.0.0.1:%d", port))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", s.program, err)
		}
		if t.Failed() {
			_, _ = log.Seek(0, io.SeekStart)
			text, _ := io.ReadAll(log)
			t.Logf("%s", text[max(0, len(text)-20_000):])
		}
	})
	deadline := time.Now().Add(time.Minute)
	for {
		response, err := http.Get(base + "/readyz") //nolint:noctx
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return base, key
			}
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("%s ended: %v", s.program, err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready within a minute", s.program)
		}
	}
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // done
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
