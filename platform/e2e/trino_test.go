//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/topology"
)

// testSpeed has no tight limit, as the machine may be busy.
func (m *mesh) testSpeed(t *testing.T) {
	const (
		q1   = `SELECT s.customer_id, m.lead_id FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email`
		seed = 2300 * time.Millisecond // what the seed's document promises
	)
	c := m.trino(t, "mike")
	var first time.Duration
	var warm []time.Duration
	for i := range 21 {
		begin := time.Now()
		found, err := rows(m.ctx, c, q1)
		took := time.Since(begin)
		if err != nil || len(found) != 850 {
			t.Fatalf("%d rows, want 850: %v", len(found), err)
		}
		if i == 0 {
			first = took
		} else {
			warm = append(warm, took)
		}
	}
	slices.Sort(warm)
	median := (warm[9] + warm[10]) / 2
	t.Logf("Q1: first %.2f s, median of %d after it %.2f s", first.Seconds(), len(warm), median.Seconds())
	if median >= seed {
		t.Errorf("median %s, the seed's document has %s", median, seed)
	}
}

func (m *mesh) testQuery(t *testing.T) {
	const count = "SELECT count(*) FROM sales.public.customers"
	if r := m.run(t, 0, "query", "-o", "csv", count); r.stdout != "_col0\n1000\n" {
		t.Errorf("not a header and 1000: %s", r)
	}
	r := m.run(t, 0, "query", "-o", "json", "SELECT customer_id, email, revenue FROM sales.public.customers ORDER BY 1 LIMIT 3")
	var list []struct {
		ID      int64       `json:"customer_id"`
		Email   string      `json:"email"`
		Revenue json.Number `json:"revenue"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 3 || list[0].ID == 0 || list[0].Email == "" {
		t.Errorf("%v: %s", err, r)
	}
	says(t, m.run(t, 0, "query", count).stdout, "1000")
	says(t, m.run(t, 0, "query", "--as", "sam", count).stderr, "as sam")

	r = m.run(t, 1, "query", "SELECT customer_id,\n  nothing FROM sales.public.customers")
	says(t, r.stderr, "line 2, column 3", "nothing")
	if r.stdout != "" {
		t.Errorf("an error on standard output: %s", r)
	}
}

func (m *mesh) testInterruptedQuery(t *testing.T) {
	const marker = "interrupted by a test"
	c := m.begin(t, "query", "/* "+marker+` */ SELECT count(*) FROM TABLE(sequence(1, 10000000)) a
		CROSS JOIN TABLE(sequence(1, 10000)) b WHERE a.sequential_number % 7 = b.sequential_number % 5`)
	mike := m.trino(t, "mike")
	look := func(want string) func() error {
		return func() error {
			found, err := rows(m.ctx, mike, `SELECT state, coalesce(error_code, '') FROM system.runtime.queries
				WHERE query LIKE '/* `+marker+` */%'`)
			if err != nil {
				return err
			}
			if len(found) != 1 || strings.TrimSpace(found[0]) != want {
				return fmt.Errorf("the server says %q", found)
			}
			return nil
		}
	}
	until(t, "the query runs", look("RUNNING"))
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := c.wait(t); r.code != 130 {
		t.Errorf("exit code is not 130: %s", r)
	}
	until(t, "it is cancelled on the server", look("FAILED USER_CANCELED"))
}

// A login asks Trino for one thing, with a password or a header only.
type login func(user, password, header string) (status int, said string)

func (m *mesh) login(t *testing.T) login {
	t.Helper()
	ca := m.run(t, 0, "ca").stdout
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		t.Fatalf("meesh ca shows no certificate: %s", ca)
	}
	https := &http.Client{Timeout: client.Timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return func(user, password, header string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(m.ctx, http.MethodPost,
			fmt.Sprintf("https://localhost:%d/v1/statement", m.port(topology.PortTrino)), strings.NewReader("SELECT 1"))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		if header != "" {
			req.Header.Set("X-Trino-User", header)
		}
		resp, err := https.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(said)
	}
}

func (m *mesh) testLogin(t *testing.T) {
	login, alex := m.login(t), m.credential(t, "alex")
	for _, c := range []struct {
		name, user, password, header string
		want                         int
	}{
		{"header only", "", "", "alex", http.StatusUnauthorized},
		{"wrong password", "alex", "wrong", "", http.StatusUnauthorized},
		{"password of another", "mike", alex, "", http.StatusUnauthorized},
		{"right password", "alex", alex, "", http.StatusOK},
	} {
		if got, said := login(c.user, c.password, c.header); got != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, got, c.want, said)
		}
	}
}

// Nobody else uses mia here, who has not been in before; sam has.
func (m *mesh) testGuesses(t *testing.T) {
	login, mia, sam := m.login(t), m.credential(t, "mia"), m.credential(t, "sam")
	if status, said := login("sam", sam, ""); status != http.StatusOK {
		t.Fatalf("sam: %d %s", status, said)
	}
	const canary = "geheim-4711"
	guess := func(user, want string, n int) {
		t.Helper()
		if status, said := login(user, fmt.Sprintf("%s-%d", canary, n), ""); status != http.StatusUnauthorized || !strings.Contains(said, want) {
			t.Errorf("guess %d for %s: %d %s, want %s", n, user, status, said, want)
		}
	}
	for n := range 5 {
		guess("mia", "Invalid credentials", n)
		guess("sam", "Invalid credentials", n)
	}
	guess("sam", "Too many wrong passwords for sam. Try again in a minute.", 5)
	if status, said := login("mia", mia, ""); status != http.StatusUnauthorized || !strings.Contains(said, "Too many wrong passwords for mia. Try again in a minute.") {
		t.Errorf("mia after five guesses: %d %s", status, said)
	}
	for user, password := range map[string]string{"sam": sam, "alex": m.credential(t, "alex")} {
		if status, said := login(user, password, ""); status != http.StatusOK {
			t.Errorf("%s while somebody guesses: %d %s", user, status, said)
		}
	}
	if r := m.run(t, 1, "query", "--as", "mia", "SELECT 1"); !strings.Contains(r.stderr, "try again in a minute") {
		t.Errorf("meesh query as mia: %s", r)
	}
	guess(canary, "Invalid credentials", 0)

	for who, want := range map[string][]string{
		"mia":       {"wrong password", "wrong password", "wrong password", "wrong password", "wrong password", "too many wrong passwords", "too many wrong passwords"},
		"sam":       {"wrong password", "wrong password", "wrong password", "wrong password", "wrong password", "too many wrong passwords"},
		"(unknown)": {"no such name"},
	} {
		var got []string
		for _, e := range m.untilAudited(t, len(want), "--tool", "trino", "--action", "login", "--outcome", "refused", "--who", who) {
			got = append(got, e.Detail)
		}
		// meesh may ask more than once.
		if !slices.Equal(got[:len(want)], want) {
			t.Errorf("the record has of %s: %q", who, got)
		}
	}
	text, err := os.ReadFile(m.home.Log("trino"))
	if err != nil || strings.Contains(string(text), canary) {
		t.Errorf("Trino's log holds what may be a password, or: %v", err)
	}
}

func (m *mesh) testReaders(t *testing.T) {
	const count = "SELECT count(*) FROM marketing.public.leads"
	before := m.ask(t, count)
	for _, sql := range []string{
		"DELETE FROM marketing.public.leads",
		"INSERT INTO sales.public.customers (customer_name) VALUES ('planted')",
		"CREATE TABLE sales.public.planted (i integer)",
	} {
		says(t, m.run(t, 1, "query", "--as", "alex", sql).stderr, "Access Denied", "data_science")
	}
	if after := m.ask(t, count); after != before || before == "0" {
		t.Errorf("%s leads became %s", before, after)
	}
}

func (m *mesh) testWrongUsage(t *testing.T) {
	r := m.run(t, 2, "query", "--as", "nobody", "SELECT 1")
	says(t, r.stderr, `no person "nobody"`, "mike")
	says(t, m.run(t, 2, "query", "-o", "xml", "SELECT 1").stderr, "xml", "json")
	says(t, m.run(t, 2, "query").stderr, "no statement")
	says(t, m.run(t, 2, "query", "SELECT 1; SELECT 2").stderr, "more than one")
	says(t, m.run(t, 2, "credentials", "nobody").stderr, "nobody")
	says(t, m.run(t, 2, "logs", "nobody").stderr, "nobody")
	says(t, m.run(t, 2, "up", "--scale", "small").stderr, "seed --force")
	// Data is refused, not replaced.
	says(t, m.run(t, 1, "seed").stderr, "--force")
}
