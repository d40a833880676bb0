package collector

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/datameesh/datameesh/platform/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// target starts a server with the schema ops.
func target(t *testing.T) Connection {
	t.Helper()
	port := postgrestest.Port(t)
	server := embeddedpostgres.NewDatabase(postgrestest.Config(postgrestest.Binaries(), t.TempDir(), port, "secret", t.Output()))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TARGET_PASSWORD", "secret")
	c := Connection{Address: "127.0.0.1:" + strconv.Itoa(port), Database: "postgres", User: "postgres", PasswordEnv: "TARGET_PASSWORD"}
	conn, err := dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the test ends
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA ops`); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCollect(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer ill.Close()
	results := filepath.Join(t.TempDir(), "run_results.json")
	write := func(id string) {
		text := `{"metadata": {"generated_at": "2026-11-23T10:00:00Z", "invocation_id": "` + id + `"}, "results": [
			{"unique_id": "model.p.mart", "status": "success", "execution_time": 1.5, "failures": null},
			{"unique_id": "test.p.not_null", "status": "fail", "execution_time": 0.1, "failures": 3}]}`
		if err := os.WriteFile(results, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	c := Config{Target: target(t), DBTResults: results,
		Components: []Component{{"up", up.URL}, {"ill", ill.URL}, {"away", "http://127.0.0.1:1/"}}}
	away := c.Target
	away.Address = "127.0.0.1:1"
	c.Databases = []Database{{"here", 1 << 30, c.Target}, {"gone", 1 << 30, away}}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	old, now := time.Now().Add(-Keep-time.Hour), time.Now()
	for _, at := range []time.Time{old, now, now.Add(time.Second)} {
		if err := Collect(t.Context(), c, at.Add(-Every), at, log); err != nil {
			t.Fatal(err)
		}
	}
	write("second")
	if err := Collect(t.Context(), c, now, now.Add(time.Minute), log); err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), c.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the test ends
	for sql, want := range map[string]string{
		// The figures older than Keep went; a part that is away stops no other.
		`SELECT string_agg(DISTINCT concat(component, ' ', up), ', ' ORDER BY concat(component, ' ', up)) FROM ops.components`: "away f, gone f, here t, ill f, up t",
		`SELECT count(DISTINCT at)::text FROM ops.components`:                                                                  "3",
		`SELECT message FROM ops.components WHERE component = 'ill' LIMIT 1`:                                                   "503 Service Unavailable",
		`SELECT concat(count(*), ' ', min(bytes) > 0, ' ', max(limit_bytes)) FROM ops.databases`:                               "3 t 1073741824",
		// A build is there once, however often it was seen.
		`SELECT string_agg(concat(invocation_id, ' ', kind, ' ', status, ' ', failures), ', ' ORDER BY invocation_id, kind) FROM ops.dbt_results`: "first model success 0, first test fail 3, second model success 0, second test fail 3",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", sql, got, err, want)
		}
	}
}

func TestCollectSaysThatTheTargetIsAway(t *testing.T) {
	c := Config{Target: Connection{Address: "127.0.0.1:1", Database: "d", User: "u"}}
	if err := Collect(t.Context(), c, time.Now(), time.Now(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "connect to d") {
		t.Errorf("got %v", err)
	}
}

func TestResultsThatAreNoneAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run_results.json")
	if err := queueDBT(nil, path); err != nil {
		t.Errorf("no build yet: %v", err)
	}
	for text, want := range map[string]string{"{": "unexpected end", "{}": "no invocation_id"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := queueDBT(nil, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestHealth(t *testing.T) {
	h := &health{}
	ask := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	if ask("/livez") != 200 || ask("/readyz") != 503 || ask("/") != 404 {
		t.Error("before the first figures")
	}
	h.took(time.Now(), nil)
	if ask("/readyz") != 200 {
		t.Error("after them")
	}
	h.took(time.Now().Add(-4*Every), nil)
	if ask("/readyz") != 503 {
		t.Error("figures of four rounds ago")
	}
}

func TestLoadNamesAllThatIsMissing(t *testing.T) {
	if _, err := Load(""); err == nil || !strings.Contains(err.Error(), "COLLECTOR_CONFIG is not set") {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte(`{"databases": [{"server": "sales-db", "address": "x:1", "database": "d", "user": "u", "password_env": "NOT_SET"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	for _, want := range []string{"listen is missing", "target lacks address", `"NOT_SET"`, "sales-db has no limit"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
