package trino

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

var (
	crm     = state.Source{Name: "crm", Postgres: &state.PostgresSource{Address: "crm.example:5432", Database: "crm", User: "reader", SSLMode: "require"}, Groups: []string{"analysts", "executives"}}
	weather = state.Source{Name: "weather", Prefix: "analytics/weather/"}
)

// A source comes with its catalog and its rights, needs a restart, and goes wholly.
func TestSourcesAreWrittenAndGo(t *testing.T) {
	dir := t.TempDir()
	without, err := WriteFiles(dir, true, rules(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, rulesFile))
	if err != nil {
		t.Fatal(err)
	}
	with, err := WriteFiles(dir, true, rules(t), []state.Source{crm, weather})
	if err != nil || with == without {
		t.Errorf("no restart: %v", err)
	}
	for name, want := range map[string]string{
		"crm.properties":     "connection-url=jdbc:postgresql://crm.example:5432/crm?sslmode=require\nconnection-user=reader\nconnection-password=${ENV:SOURCE_CRM_PASSWORD}\n",
		"weather.properties": "hive.metastore.catalog.dir=s3://datalake/meesh/sources/weather\n",
	} {
		text, err := os.ReadFile(filepath.Join(dir, "catalog", name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %s %v", name, text, err)
		}
	}
	worker := t.TempDir()
	if _, err := WriteWorkerFiles(worker, true, []state.Source{crm}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(worker, "catalog", "crm.properties")); err != nil {
		t.Error(err)
	}
	again, err := WriteFiles(dir, true, rules(t), nil)
	if err != nil || again != without {
		t.Errorf("something is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "catalog", "crm.properties")); !os.IsNotExist(err) {
		t.Errorf("its catalog is left: %v", err)
	}
	if left, err := os.ReadFile(filepath.Join(dir, rulesFile)); err != nil || string(left) != string(before) {
		t.Errorf("its rights are left: %v", err)
	}
}

// Every catalog on the object store treats it alike; only the one for what people
// upload has another key.
func TestCatalogsTreatTheObjectStoreAlike(t *testing.T) {
	dir := t.TempDir()
	if _, err := WriteFiles(dir, true, rules(t), []state.Source{weather}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hive", "lake", "uploads", "weather"} {
		text, err := os.ReadFile(filepath.Join(dir, "catalog", name+".properties"))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(storeSettings(string(text)), "{ENV:S3_UPLOADS_", "{ENV:S3_")
		if got != storeSettings(hiveCatalog) || !strings.Contains(got, "s3.max-error-retries=") || !strings.Contains(got, "s3.streaming.part-size=") {
			t.Errorf("%s.properties has\n%s\nhive.properties\n%s", name, got, storeSettings(hiveCatalog))
		}
	}
}

// Whoever is not named has no rule for the catalog, and so does not see it.
func TestRightsOnSources(t *testing.T) {
	text, err := policy.TheMesh().Rules(topology.People, sourceRights([]state.Source{crm, weather}))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Catalogs []struct{ Group, Catalog, Allow string }
		Tables   []struct {
			Group, Catalog string
			Privileges     []string
		}
	}
	if err := json.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rules.Catalogs {
		if r.Catalog == "crm" || r.Catalog == "weather" {
			got = append(got, r.Catalog+" "+r.Group+" "+r.Allow)
		}
	}
	for _, r := range rules.Tables {
		if r.Catalog == "crm" || r.Catalog == "weather" {
			got = append(got, r.Catalog+" "+r.Group+" "+strings.Join(r.Privileges, ","))
		}
	}
	// Written by hand; engineers own everything by a rule of their own.
	if want := "crm analysts|executives read-only, crm analysts|executives SELECT"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestPasswordsOfSourcesComeByTheEnvironment(t *testing.T) {
	d := state.Dir(t.TempDir())
	s, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d.TLS(), 0o700); err != nil {
		t.Fatal(err)
	}
	m := state.Mesh{Profile: state.ProfileFull, Tools: state.Tools{Trino: packageOfTrino(t), Java: "/opt/java"}, Sources: []state.Source{crm, weather}}
	if _, err := Local(d, m, s); err == nil || !strings.Contains(err.Error(), "sources/crm") {
		t.Errorf("without its password: %v", err)
	}
	if err := s.SetSource("crm", "geheim"); err != nil {
		t.Fatal(err)
	}
	cmd, err := Local(d, m, s)
	if err != nil {
		t.Fatal(err)
	}
	if env := strings.Join(cmd.Env, "\n"); !strings.Contains(env, "SOURCE_CRM_PASSWORD=geheim") || strings.Contains(strings.Join(cmd.Args, " "), "geheim") || strings.Contains(env, "SOURCE_WEATHER") {
		t.Error("the environment is not as it should be")
	}
	for range 2 { // removed, and nothing to remove
		if err := s.SetSource("crm", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Source("crm"); err == nil {
		t.Error("its password is left")
	}
}
