package trino

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// One call serves all parts: nine passwords are hashed, which is slow under
// the race detector.
func TestLocal(t *testing.T) {
	d := state.Dir(t.TempDir())
	s, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	m := state.Mesh{PortOffset: 1000, Profile: state.ProfileFull, Tools: state.Tools{Trino: packageOfTrino(t), Java: "/opt/java"}}
	cmd, err := Local(d, m, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("environment", func(t *testing.T) { testEnvironmentIsComplete(t, cmd) })
	t.Run("modes", func(t *testing.T) { testModes(t, d) })
}

// Every variable that the files ask for is set, and none is set in vain.
func testEnvironmentIsComplete(t *testing.T, cmd Command) {
	set := map[string]string{}
	for _, e := range cmd.Env {
		name, value, _ := strings.Cut(e, "=")
		if value == "" {
			t.Errorf("%s is empty", name)
		}
		set[name] = value
	}
	used := map[string]bool{"PATH": true, "HOME": true}
	variable := regexp.MustCompile(`\$\{ENV:([A-Z0-9_]+)\}`)
	err := fs.WalkDir(files, "etc", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		for _, m := range variable.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
			if _, ok := set[m[1]]; !ok {
				t.Errorf("%s needs %s, which is not set", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range set {
		if !used[name] {
			t.Errorf("%s is set and no file uses it", name)
		}
	}
	for name, want := range map[string]string{
		"SALES_DB_ADDRESS":     "127.0.0.1:31432",
		"SALES_API_DB_ADDRESS": "127.0.0.1:31433",
		"MARKETING_DB_ADDRESS": "127.0.0.1:31434",
		"PLATFORM_DB_ADDRESS":  "127.0.0.1:31435",
		"METASTORE_ADDRESS":    "127.0.0.1:31983",
		"S3_ENDPOINT":          "http://127.0.0.1:31900",
		"TRINO_HTTPS_PORT":     "31808",
		"TRINO_DISCOVERY_URI":  "http://127.0.0.1:31880",
	} {
		if set[name] != want {
			t.Errorf("%s is %s, want %s", name, set[name], want)
		}
	}
}

// No file names a host, a machine's path or a password.
func TestFilesHoldNothingOfOneMachine(t *testing.T) {
	suspect := regexp.MustCompile(`127\.0\.0\.1|localhost|=/|password=[^$]|secret=[^$]`)
	err := fs.WalkDir(files, "etc", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if found := suspect.Find(b); found != nil {
			t.Errorf("%s holds %q", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every catalog of the topology has a file, that reads its database, and no other has.
func TestCatalogs(t *testing.T) {
	want := map[string]string{}
	for _, s := range topology.Servers {
		for _, d := range s.Databases {
			if d.Catalog != "" {
				want[d.Catalog+".properties"] = "connection-url=jdbc:postgresql://${ENV:" +
					strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) + "_ADDRESS}/" + d.Name + "\n"
			}
		}
	}
	entries, err := fs.ReadDir(files, "etc/catalog")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want)+len(lakeCatalogs) || len(want) != 4 {
		t.Errorf("%d files for %d catalogs, want 4 and 4 of the lake", len(entries), len(want))
	}
	for _, e := range entries {
		if lakeCatalogs[e.Name()] {
			continue
		}
		b, err := fs.ReadFile(files, "etc/catalog/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if want[e.Name()] == "" || !strings.Contains(string(b), want[e.Name()]) {
			t.Errorf("%s lacks %q", e.Name(), want[e.Name()])
		}
	}
}

// rules are those of the people that every mesh begins with.
func rules(t *testing.T) []byte {
	t.Helper()
	text, err := policy.TheMesh().Rules(topology.People, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWriteFilesTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	first, err := WriteFiles(dir, true, rules(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.properties")
	long := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(config, long, long); err != nil {
		t.Fatal(err)
	}
	// What is not ours any more, and what was damaged.
	stale := filepath.Join(dir, "catalog", "tpch.properties")
	if err := os.WriteFile(stale, []byte("connector.name=tpch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := WriteFiles(dir, true, rules(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Errorf("version %s, then %s", first, second)
	}
	if info, err := os.Stat(config); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("a file that was right was rewritten (%v)", err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a catalog of no database was kept")
	}
	rules, err := os.ReadFile(filepath.Join(dir, "rules.json"))
	if err != nil || !json.Valid(rules) || len(rules) < 100 {
		t.Errorf("damaged rules were kept: %s, %v", rules, err)
	}
}

// Groups of the rules are groups of people, and the other way round nobody is
// in a group that a typing error made: engineers are mike, dbt is a service.
func TestRulesNameGroupsThatExist(t *testing.T) {
	b, err := fs.ReadFile(files, "etc/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	// The limit of people stands where no session can raise it, and is the policy's.
	config, err := fs.ReadFile(files, "etc/config.properties")
	if want := "\nquery.max-execution-time=" + policy.TheMesh().ExecutionTime() + "\n"; err != nil || !strings.Contains(string(config), want) {
		t.Errorf("config.properties lacks %q (%v)", want, err)
	}
	var rules map[string][]struct{ Group, User string }
	if err := json.Unmarshal(b, &rules); err != nil {
		t.Fatal(err)
	}
	var groups, users []string
	for _, p := range append(append(topology.People, topology.ServiceUsers...), topology.Admin) {
		groups, users = append(groups, p.Group), append(users, p.Name)
	}
	users = append(users, policy.Reader)
	for section, list := range rules {
		for _, rule := range list {
			for g := range strings.SplitSeq(rule.Group, "|") {
				if g != "" && !slices.Contains(groups, g) {
					t.Errorf("%s: nobody is in group %s", section, g)
				}
			}
			for u := range strings.SplitSeq(rule.User, "|") {
				if u != "" && !slices.Contains(users, u) {
					t.Errorf("%s: nobody is called %s", section, u)
				}
			}
		}
	}
}

func testModes(t *testing.T, d state.Dir) {
	for _, path := range []string{
		KeystoreFile(d),
		filepath.Join(d.Trino(), "password.db"),
		filepath.Join(d.Trino(), "groups.txt"),
		filepath.Join(d.Trino(), "etc", "rules.json"),
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
	}
}

func TestLocalBeforeFetch(t *testing.T) {
	d := state.Dir(t.TempDir())
	s, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Local(d, state.Mesh{}, s); err == nil || !strings.Contains(err.Error(), "not been fetched") {
		t.Errorf("got %v", err)
	}
}

// A worker has the coordinator's catalogs, no log-in of its own, and no file
// that names who may do what. Without the lake neither has its catalogs.
func TestWorkerFiles(t *testing.T) {
	names := func(write func(string, bool) (string, error), lake bool) []string {
		t.Helper()
		dir := t.TempDir()
		if _, err := write(dir, lake); err != nil {
			t.Fatal(err)
		}
		var all []string
		if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				name, _ := filepath.Rel(dir, path)
				all = append(all, name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	core := []string{"catalog/marketing.properties", "catalog/marketing_api.properties", "catalog/sales.properties", "catalog/sales_api.properties"}
	full := []string{
		"catalog/hive.properties", "catalog/lake.properties", "catalog/marketing.properties", "catalog/marketing_api.properties",
		"catalog/sales.properties", "catalog/sales_analytics.properties", "catalog/sales_api.properties", "catalog/uploads.properties",
	}
	rest := []string{"config.properties", "jvm.config", "log.properties", "node.properties"}
	worker := func(dir string, lake bool) (string, error) { return WriteWorkerFiles(dir, lake, nil) }
	if got, want := names(worker, false), append(core, rest...); !slices.Equal(got, want) {
		t.Errorf("worker of the core: %q", got)
	}
	if got, want := names(worker, true), append(full, rest...); !slices.Equal(got, want) {
		t.Errorf("worker: %q", got)
	}
	coordinator := func(dir string, lake bool) (string, error) { return WriteFiles(dir, lake, rules(t), nil) }
	if got := names(coordinator, false); !slices.Equal(got[1:5], core) || got[5] != "config.properties" { // after access-control.properties
		t.Errorf("coordinator of the core: %q", got)
	}
}

func TestWorkersHaveNodesOfTheirOwn(t *testing.T) {
	d := state.Dir(t.TempDir())
	s, _, err := secrets.Ensure(d.Secrets(), "")
	if err != nil {
		t.Fatal(err)
	}
	m := state.Mesh{PortOffset: 1000, Profile: state.ProfileFull, Tools: state.Tools{Trino: "/opt/trino", Java: "/opt/java"}}
	seen := map[string]bool{}
	for n := 1; n <= topology.MaxTrinoWorkers; n++ {
		cmd, err := LocalWorker(d, m, s, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range cmd.Env {
			if name, value, _ := strings.Cut(e, "="); name == "TRINO_NODE_ID" || name == "TRINO_DATA_DIR" || name == "TRINO_HTTP_PORT" {
				if seen[value] {
					t.Errorf("two workers have %s", e)
				}
				seen[value] = true
			}
		}
	}
	if !seen["31881"] || !seen["worker-2"] {
		t.Errorf("workers have %v", seen)
	}
}
