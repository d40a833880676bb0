//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/topology"
)

// A database becomes a catalog of Trino and goes again; whatever is wrong with
// it is said before Trino notices anything.
func (m *mesh) testSource(t *testing.T) {
	secret := m.credential(t, "sales-api-db/"+topology.RoleGrafana)
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password, wrong := file("password", secret+"\n"), file("wrong", "wrong")
	at := func(port int, database string) string {
		return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s", topology.RoleGrafana, port, database)
	}
	url := at(m.port(topology.PortSalesAPIDB), "sales_api")
	free, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	before := m.status(t, 0)["trino"].PID
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "cannot be the name", []string{"Crm", "--postgres", url, "--password-file", password}},
		{2, "cannot be the name", []string{"../crm", "--postgres", url, "--password-file", password}},
		{2, "already", []string{"sales", "--postgres", url, "--password-file", password}},
		{2, "Trino has a catalog", []string{"tpch", "--postgres", url, "--password-file", password}},
		{2, "--postgres URL or --s3", []string{"crm"}},
		{2, "holds a password", []string{"crm", "--postgres", strings.Replace(url, "@", ":geheim@", 1)}},
		{2, "no terminal", []string{"crm", "--postgres", url}},
		{2, "read the password", []string{"crm", "--postgres", url, "--password-file", filepath.Join(folder, "missing")}},
		{2, "no group of that name", []string{"crm", "--postgres", url, "--password-file", password, "--allow", "cooks"}},
		{1, "password authentication failed", []string{"crm", "--postgres", url, "--password-file", wrong}},
		{1, "nothing", []string{"crm", "--postgres", at(m.port(topology.PortSalesAPIDB), "nothing"), "--password-file", password}},
		{3, "does not answer", []string{"crm", "--postgres", at(free, "sales_api"), "--password-file", password}},
		{3, "no object store", []string{"weather", "--s3", "analytics/weather/"}},
	} {
		r := m.run(t, c.code, append([]string{"source", "add"}, c.args...)...)
		says(t, r.stderr, c.want)
		if strings.Contains(r.stderr, secret) || strings.Contains(r.stderr, "geheim") {
			t.Errorf("a password is shown: %s", r)
		}
	}
	says(t, m.run(t, 2, "source", "rm", "crm").stderr, "none was added")
	says(t, m.run(t, 0, "source", "list").stderr, "No source")
	if now := m.status(t, 0)["trino"].PID; now != before {
		t.Errorf("Trino was restarted for nothing: %d, then %d", before, now)
	}

	// What runs is waited for.
	const marker = "waited for by a test"
	long := m.begin(t, "query", "/* "+marker+" */ SELECT count(*) FROM TABLE(sequence(1, 400000)) a CROSS JOIN TABLE(sequence(1, 2000)) b WHERE a.sequential_number % 7 = b.sequential_number % 5")
	until(t, "the query runs", func() error {
		found, err := rows(m.ctx, m.trino(t, "mike"), `SELECT state FROM system.runtime.queries WHERE query LIKE '/* `+marker+` */%'`)
		if err == nil && (len(found) != 1 || strings.TrimSpace(found[0]) != "RUNNING") {
			err = fmt.Errorf("the server says %q", found)
		}
		return err
	})
	r := m.run(t, 0, "source", "add", "crm", "--postgres", url, "--password-file", password, "--allow", "data_science")
	t.Log(r.stderr)
	says(t, r.stderr, "Waiting for query", "No query runs any more", "Trino restarts", "Checked", "was away for")
	if ended := long.wait(t); ended.code != 0 {
		t.Errorf("the query that ran was not waited for: %s", ended)
	}
	want := m.ask(t, "SELECT count(*) FROM sales_api.public.latency_buckets")
	if got := m.ask(t, "SELECT count(*) FROM crm.public.latency_buckets"); got != want || want == "0" {
		t.Errorf("%s rows through the source, %s without it", got, want)
	}
	m.run(t, 0, "query", "--as", "alex", "SELECT count(*) FROM crm.public.latency_buckets")
	says(t, m.run(t, 1, "query", "--as", "emma", "SELECT count(*) FROM crm.public.latency_buckets").stderr, "Access Denied")
	says(t, m.run(t, 2, "source", "add", "crm", "--postgres", url, "--password-file", password).stderr, "already")
	says(t, m.run(t, 0, "source", "list", "-o", "csv").stdout, "crm,postgresql,127.0.0.1:", `"engineers, data_science"`)
	m.untilAudited(t, 1, "--tool", "meesh", "--action", "add-source", "--object", "crm", "--outcome", "ok")
	// The password is in the store of secrets, and in no file of Trino's.
	found := 0
	err = filepath.WalkDir(m.home.Trino(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.Contains(path, "/etc/") {
			return err
		}
		found++
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), secret) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}

	t.Log(m.run(t, 0, "source", "rm", "crm").stderr)
	says(t, m.run(t, 1, "query", "SELECT count(*) FROM crm.public.latency_buckets").stderr, "crm")
	if catalogs := m.run(t, 0, "query", "-o", "csv", "SHOW CATALOGS").stdout; strings.Contains(catalogs, "crm") {
		t.Errorf("it is still there: %s", catalogs)
	}
	if _, err := os.Stat(filepath.Join(m.home.Secrets(), "sources", "crm")); !os.IsNotExist(err) {
		t.Errorf("its password is still there: %v", err)
	}
	m.healed(t)
}
