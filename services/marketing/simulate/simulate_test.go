package simulate_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/datameesh/datameesh/services/internal/conformance"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/pgtest"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/simulation"
	"github.com/datameesh/datameesh/services/marketing/ingest"
	"github.com/datameesh/datameesh/services/marketing/migrations"
	"github.com/datameesh/datameesh/services/marketing/postgres"
	"github.com/datameesh/datameesh/services/marketing/simulate"
)

var schema = pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: migrations.Files}

// run drives a marketing ingest on the database for so many requests, then
// interrupts. It gives the exit code and what was said.
func run(t *testing.T, db pgtest.Database, requests int64) (int, string) {
	t.Helper()
	pool, err := database.Open(t.Context(), db.URL("marketing_app"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	keys := conformance.Keys(t, map[string][]string{"key": {"leads:read", "leads:ingest"}})
	router, err := ingest.Routes(postgres.New(pool), rest.Service{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1) > requests {
			interrupt()
			return
		}
		router.Handler().ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("API_URL", server.URL)
	t.Setenv("API_KEY", "key")
	var out bytes.Buffer
	code := simulation.Main(ctx, simulate.Script, []string{"--rate", "1000", "--seed", "5"}, &out, &out)
	return code, out.String()
}

// seeded gives a database with two campaigns: one runs, one is over.
func seeded(t *testing.T) pgtest.Database {
	t.Helper()
	db := pgtest.New(t, schema)
	_, err := db.Connect(t, "marketing_owner").Exec(t.Context(), `
		INSERT INTO campaigns (campaign_name, channel, budget, spend, starts_on, ends_on)
		VALUES ('Over', 'Event', 1, 1, '2020-01-01', '2020-02-01'), ('Runs', 'Email', 1, 1, '2020-01-01', NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// rows gives all that does not depend on the clock.
func rows(t *testing.T, db pgtest.Database) (text string) {
	t.Helper()
	err := db.Connect(t, "marketing_owner").QueryRow(t.Context(), `
		SELECT string_agg(concat_ws(' ', lead_id, email, full_name, source, campaign_name, status, score), E'\n' ORDER BY lead_id) FROM leads`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheSameSeedMakesTheSameRows(t *testing.T) {
	one, two := seeded(t), seeded(t)
	for _, db := range []pgtest.Database{one, two} {
		if code, out := run(t, db, 400); code != 130 || !strings.Contains(out, " 0 repeated, 0 failed") {
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	made := rows(t, one)
	if made != rows(t, two) {
		t.Errorf("made\n%s\nand\n%s", made, rows(t, two))
	}
	for _, part := range []string{" new ", " contacted ", " qualified ", " converted ", " lost ", "@example.", ".example "} {
		if !strings.Contains(made, part) {
			t.Errorf("no%sin\n%s", part, made)
		}
	}
	if strings.Contains(made, " Over ") {
		t.Error("a campaign that is over won a lead")
	}
}

func TestNoCampaignRuns(t *testing.T) {
	if code, out := run(t, pgtest.New(t, schema), 10); code != 1 || !strings.Contains(out, "no campaign runs today") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
