//go:build e2e

package jupyterhub_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/bootstrap"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/topology"
)

func (s *suite) find(t *testing.T, name string) (component, error) {
	t.Helper()
	out, err := s.run(t.Context(), "status", "-o", "json")
	if err != nil {
		return component{}, err
	}
	var all []component
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return component{}, err
	}
	i := slices.IndexFunc(all, func(c component) bool { return c.Name == name })
	if i < 0 {
		return component{}, fmt.Errorf("%s is not listed", name)
	}
	return all[i], nil
}

// files: nothing that the hub keeps secret is readable for others.
func (s *suite) files(t *testing.T) {
	data := s.home.Data("jupyterhub")
	looked := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		looked++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil || looked < 4 {
		t.Errorf("looked at %d files: %v", looked, err)
	}
	accounts, err := os.ReadFile(filepath.Join(data, "accounts.json"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(s.home.Log("jupyterhub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topology.People {
		for name, text := range map[string][]byte{"accounts.json": accounts, "the log": log} {
			if bytes.Contains(text, []byte(s.Password(p.Name))) {
				t.Errorf("%s holds the password of %s", name, p.Name)
			}
		}
	}
}

func (s *suite) passwords(t *testing.T) {
	right := s.Password("alex")
	for _, c := range []struct {
		name, person, password string
		in                     bool
	}{
		{"the right one", "alex", right, true},
		{"a wrong one", "alex", right[1:], false},
		{"somebody else's", "alex", s.Password("mike"), false},
		{"the right one again", "alex", right, true}, // and the count of wrong ones begins anew
		{"none", "alex", "", false},
		{"200 letters", "alex", strings.Repeat("x", 200), false},
		{"10,000 letters", "alex", strings.Repeat("x", 10_000), false},
		{"Unicode", "alex", "pässwörd – 密码 🔑", false},
		{"the right one after all of them", "alex", right, true},
		{"a name that nobody has", "nobody", right, false},
		{"no name", "", right, false},
		{"a service user", "dbt", s.Password("dbt"), false},
		{"a name with a path", "../alex", right, false},
		{"mike", "mike", s.Password("mike"), true},
		{"emma", "emma", s.Password("emma"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := jupyterhub.Login(t.Context(), s.url(), c.person, c.password)
			switch {
			case c.in && err != nil:
				t.Fatal(err)
			case !c.in && !errors.Is(err, jupyterhub.ErrRefused):
				t.Fatalf("not refused politely: %v", err)
			case !c.in:
				return
			}
			var who struct {
				Name  string
				Admin bool
			}
			if err := client.Call(t.Context(), http.MethodGet, "/hub/api/user", nil, &who); err != nil {
				t.Fatal(err)
			}
			if who.Name != c.person || who.Admin != (c.person == "mike") {
				t.Errorf("is %+v", who)
			}
		})
	}
	t.Run("no sign-up", func(t *testing.T) {
		if code := s.status0(t, http.MethodGet, "/hub/signup"); code != http.StatusNotFound {
			t.Errorf("answers %d", code)
		}
	})
}

// status0 is the answer's code without any credentials.
func (s *suite) status0(t *testing.T, method, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// throttled: of fifty wrong passwords at once five are compared, and the right one waits too.
func (s *suite) throttled(t *testing.T) {
	answers := make(chan error)
	for i := range 50 {
		go func() {
			_, err := jupyterhub.Login(t.Context(), s.url(), "mia", fmt.Sprint("wrong", i))
			answers <- err
		}()
	}
	compared := 0
	for range 50 {
		err := <-answers
		if errors.Is(err, jupyterhub.ErrRefused) {
			compared++
		} else if said, ok := errors.AsType[*jupyterhub.StatusError](err); !ok || said.Code != http.StatusTooManyRequests {
			t.Errorf("a wrong password: %v", err)
		}
	}
	if compared != 5 {
		t.Errorf("%d of 50 wrong passwords were compared, want 5", compared)
	}
	_, err := jupyterhub.Login(t.Context(), s.url(), "mia", s.Password("mia"))
	if said, ok := errors.AsType[*jupyterhub.StatusError](err); !ok || said.Code != http.StatusTooManyRequests {
		t.Errorf("the right password after five wrong ones: %v", err)
	}
	s.login(t, "sarah") // the others are not held up
	// The record tells of the pause once.
	until(t, "the pause is in the record", func() error {
		out, err := s.run(t.Context(), "audit", "--tool", "hub", "--who", "mia", "--outcome", "refused", "-o", "json")
		if n := strings.Count(out, "Too Many Wrong Passwords"); err == nil && n != 1 {
			err = fmt.Errorf("%d times", n)
		}
		if n := strings.Count(out, `"login"`); err == nil && n != 6 {
			err = fmt.Errorf("%d refusals, want 5 and the pause", n)
		}
		return err
	})
}

// audited: who came in, who did not and whose servers ran is in the audit record, and
// no password, not even one in the wrong field.
func (s *suite) audited(t *testing.T) {
	alex := s.server(t, "alex")
	if err := alex.Call(t.Context(), http.MethodPost, "/hub/api/trino-token", nil, nil); err != nil {
		t.Fatal(err)
	}
	// One that is logged as it is, one that the hub would shorten, one that it would quote.
	misplaced := []string{"Misplaced-to-the-end", "Misplaced-in-the-field-of-the-names-to-the-end", `Misplaced'"\\ß-to-the-end`}
	attempts := [][2]string{{"alex", "wrong"}, {misplaced[0], strings.Repeat("x", 2000)}}
	for _, m := range misplaced {
		attempts = append(attempts, [2]string{m, "alex"})
	}
	for _, c := range attempts {
		if _, err := jupyterhub.Login(t.Context(), s.url(), c[0], c[1]); !errors.Is(err, jupyterhub.ErrRefused) {
			t.Fatal(err)
		}
	}
	if err := alex.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ who, action, outcome string }{
		{"alex", "login", "ok"},
		{"alex", "login", "refused"},
		{"(unknown)", "login", "refused"},
		{"alex", "start-server", "ok"},
		{"alex", "renew-token", "ok"},
		{"alex", "stop-server", "ok"},
	} {
		until(t, fmt.Sprint(want), func() error {
			out, err := s.run(t.Context(), "audit", "--tool", "hub", "--who", want.who, "--action", want.action, "--outcome", want.outcome, "-o", "json")
			if err == nil && !strings.Contains(out, want.action) {
				err = errors.New("it is not in the record")
			}
			return err
		})
	}
	if out := s.meesh(t, "audit", "-o", "json"); strings.Contains(out, "Misplaced") {
		t.Error("the record holds a password")
	}
	log, err := os.ReadFile(s.home.Log("jupyterhub"))
	if err != nil || !bytes.Contains(log, []byte("Failed login for ''")) || bytes.Contains(log, []byte("Misplaced")) || bytes.Contains(log, []byte("to-the-end")) {
		t.Errorf("the hub's log tells nothing of log-ins with names that nobody has, or holds a password (%v)", err)
	}
	// What happens while nobody keeps the record comes into it later, once.
	logins := func() (int, error) {
		out, err := s.run(t.Context(), "audit", "--tool", "hub", "--who", "emma", "--action", "login", "-o", "json")
		return strings.Count(out, `"login"`), err
	}
	before, err := logins()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.ready(t, "mesh-audit", 0).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.login(t, "emma")
	until(t, "emma is in the record", func() error {
		now, err := logins()
		if err == nil && now != before+1 {
			err = fmt.Errorf("%d log-ins, before there were %d", now, before)
		}
		return err
	})
}

func (s *suite) isolation(t *testing.T) {
	mike, alex := s.server(t, "mike"), s.server(t, "alex")
	k := s.kernel(t, "alex")
	if got := says(t, k, "import os, getpass; print(getpass.getuser(), os.environ['TRINO_USER'])"); got != "alex alex" {
		t.Errorf("the kernel is %q", got)
	}
	t.Run("the hub's doors", func(t *testing.T) {
		for path, want := range map[string]int{
			"/hub/api/users":            http.StatusForbidden,
			"/hub/api/users/mike":       http.StatusNotFound,
			"/user/mike/api/contents":   http.StatusForbidden,
			"/hub/api/proxy":            http.StatusForbidden,
			"/hub/api/users/alex":       0,
			"/user/alex/api/contents":   0,
			"/hub/api/users/mike/token": http.StatusNotFound,
		} {
			err := alex.Call(t.Context(), http.MethodGet, path, nil, nil)
			said, refused := errors.AsType[*jupyterhub.StatusError](err)
			if want == 0 && err != nil || want != 0 && (!refused || said.Code != want) {
				t.Errorf("alex at %s: %v, want %d", path, err, want)
			}
		}
		if err := mike.Call(t.Context(), http.MethodGet, "/hub/api/users", nil, nil); err != nil {
			t.Errorf("mike, an administrator: %v", err)
		}
		if code := s.status0(t, http.MethodPost, "/hub/api/trino-token"); code != http.StatusForbidden {
			t.Errorf("a token for nobody: %d", code)
		}
		if err := mike.Call(t.Context(), http.MethodPost, "/hub/api/trino-token", nil, nil); err != nil {
			t.Errorf("a token for mike: %v", err)
		}
	})
	t.Run("the mesh's notebooks are read-only", func(t *testing.T) {
		n, err := alex.Notebook(t.Context(), "mesh/customer_journey/00-welcome.ipynb")
		if err != nil {
			t.Fatal(err)
		}
		if n.Writable && s.root {
			t.Error("the server calls them writable")
		}
		if err := alex.Save(t.Context(), "my-copy.ipynb", n); err != nil {
			t.Errorf("a copy: %v", err)
		}
		if s.root {
			if err := alex.Save(t.Context(), "mesh/customer_journey/00-welcome.ipynb", n); err == nil {
				t.Error("was saved")
			}
		}
	})
	if !s.root {
		t.Run("an ordinary user is told", func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url()+"/hub/login", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			page, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Contains(page, []byte("Nothing keeps people apart here")) {
				t.Errorf("the page does not say that there is no isolation: %v", err)
			}
		})
		return
	}
	hub := s.ready(t, "jupyterhub", 0)
	mikes := s.ready(t, "notebook-mike", 0)
	for _, c := range []struct{ name, code, want string }{
		{"a user id of their own", "print(os.getuid() == os.geteuid() == os.getgid() and 61001 <= os.getuid() <= 61999, os.getgroups())", "True []"},
		{"their home is closed", "print(oct(os.stat(os.path.expanduser('~')).st_mode & 0o777))", "0o700"},
		{"mike's home", "os.listdir('" + s.home.Homes() + "/mike')", "PermissionError"},
		{"all homes", "os.listdir('" + s.home.Homes() + "')", "PermissionError"},
		{"a file in mike's home", "open('" + s.home.Homes() + "/mike/x')", "PermissionError"},
		{"a folder in place of somebody's home", "os.mkdir('" + s.home.Homes() + "/mia2')", "PermissionError"},
		{"the hub's accounts", "open('" + s.home.Data("jupyterhub") + "/accounts.json')", "PermissionError"},
		{"the key of tokens", "open('" + s.home.Data("jupyterhub") + "/token-key.pem')", "PermissionError"},
		{"the mesh's secrets", "os.listdir('" + s.home.Secrets() + "')", "PermissionError"},
		{"the logs", "os.listdir('" + s.home.Logs() + "')", "PermissionError"},
		{"the hub's environment", fmt.Sprintf("open('/proc/%d/environ').read()", hub.PID), "PermissionError"},
		{"mike's environment", fmt.Sprintf("open('/proc/%d/environ').read()", mikes.PID), "PermissionError"},
		{"mike's server", fmt.Sprintf("os.kill(%d, 9)", mikes.PID), "PermissionError"},
		{"the hub", fmt.Sprintf("os.kill(%d, 9)", hub.PID), "PermissionError"},
		{"the program that changes users", "import subprocess; subprocess.run(['" + s.home.Bin() + "/mesh-spawn', 'check'])", "PermissionError"},
		{"the mesh's notebooks", "open(os.path.expanduser('~/mesh/customer_journey/00-welcome.ipynb'), 'a')", "PermissionError"},
		{"the package meesh", "import meesh; open(meesh.__file__, 'a')", "PermissionError"},
		{"root by another program", "print([l for l in open('/proc/self/status') if l.startswith('NoNewPrivs')][0].split()[1])", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outputs, err := k.Run(t.Context(), c.code)
			got := strings.TrimSpace(jupyterhub.Plain(outputs))
			if raised, ok := errors.AsType[*jupyterhub.CellError](err); ok {
				got = raised.Name
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s: got %q, want %q", c.code, got, c.want)
			}
		})
	}
}

// databases: people reach those of their group, as themselves, and see there what
// they may. Cells are written by hand from docs/security.md.
func (s *suite) databases(t *testing.T) {
	emea := s.one(t, "sales-db", "sales_data", topology.RoleTrino, "SELECT count(*)::text FROM customers WHERE region = 'EMEA'")
	all := s.one(t, "sales-db", "sales_data", topology.RoleTrino, "SELECT count(*)::text FROM customers")
	leads := s.one(t, "marketing-db", "marketing_data", topology.RoleTrino, "SELECT count(*)::text FROM leads")
	journeys := s.one(t, "platform-db", "sales_analytics", topology.RoleGrafana, "SELECT count(*)::text FROM marts.mart_customer_journey")
	if emea == "0" || emea == all || leads == "0" || journeys == "0" {
		t.Fatalf("nothing to tell apart: %s of %s customers, %s leads, %s journeys", emea, all, leads, journeys)
	}
	for person, c := range map[string]struct {
		names string
		sees  map[[2]string]string // database and statement
	}{
		"emma":  {"", nil},
		"sarah": {"sales_analytics", map[[2]string]string{{"sales_analytics", "SELECT count(*) FROM marts.mart_customer_journey"}: journeys}},
		"mia": {"marketing marketing_api sales", map[[2]string]string{
			{"sales", "SELECT count(*) FROM customers"}: emea, {"marketing", "SELECT count(*) FROM leads"}: "0",
		}},
		"alex": {"marketing marketing_api sales sales_analytics sales_api", map[[2]string]string{
			{"sales", "SELECT count(*) FROM customers"}: all, {"marketing", "SELECT count(*) FROM leads"}: leads,
		}},
	} {
		t.Run(person, func(t *testing.T) {
			k := s.kernel(t, person)
			if got := says(t, k, "import json, meesh, os; print(*sorted(json.loads(os.environ['MESH_DATABASES'])))"); got != c.names {
				t.Errorf("log-ins to %q, want %q", got, c.names)
			}
			if got := says(t, k, "print('notebook_ro' in str(dict(os.environ)))"); got != "False" {
				t.Error("the server knows of the shared role")
			}
			for _, name := range []string{"sales", "sales_api", "marketing", "marketing_api", "sales_analytics"} {
				if slices.Contains(strings.Fields(c.names), name) {
					if got := says(t, k, fmt.Sprintf("print(meesh.database(%q).execute('SELECT session_user').fetchone()[0])", name)); got != person {
						t.Errorf("in %s they are %q", name, got)
					}
					continue
				}
				_, err := k.Run(t.Context(), fmt.Sprintf("meesh.database(%q)", name))
				if raised, ok := errors.AsType[*jupyterhub.CellError](err); !ok || raised.Name != "MeshError" || !strings.Contains(raised.Value, "you have no log-in") {
					t.Errorf("%s: %v", name, err)
				}
			}
			for query, want := range c.sees {
				if got := says(t, k, fmt.Sprintf("print(meesh.database(%q).execute(%q).fetchone()[0])", query[0], query[1])); got != want {
					t.Errorf("%s: %s gives %s, want %s", query[0], query[1], got, want)
				}
			}
		})
	}
	until(t, "what mia asked from her notebook is in the record", func() error {
		out, err := s.run(t.Context(), "audit", "--tool", "postgresql", "--who", "mia", "-o", "json")
		if err == nil && !strings.Contains(out, "customers") {
			err = errors.New("it is not in the record")
		}
		return err
	})
}

// ask sends a statement to Trino with an Authorization header and gives the answer's code.
func (s *suite) ask(t *testing.T, authorization string) int {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, Timeout: time.Minute}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Trino()+"/v1/statement", strings.NewReader("SELECT 1"))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func part(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// signed is a token of the claims by the key.
func signed(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	text := part(t, map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(t, claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func (s *suite) tokens(t *testing.T) {
	private, err := s.Store.TokenKey()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(private)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*rsa.PrivateKey)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := s.Store.TokenPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := func(change func(map[string]any)) map[string]any {
		c := map[string]any{"iss": "datameesh", "aud": "trino", "sub": "alex", "iat": now - 10, "nbf": now - 10, "exp": now + 600}
		change(c)
		return c
	}
	good := signed(t, key, claims(func(map[string]any) {}))
	pieces := strings.Split(good, ".")
	none := part(t, map[string]string{"alg": "none"}) + "." + pieces[1] + "."
	symmetric := part(t, map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + pieces[1]
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(symmetric))
	symmetric += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"good":             {good, http.StatusOK},
		"another key":      {signed(t, other, claims(func(map[string]any) {})), http.StatusUnauthorized},
		"expired":          {signed(t, key, claims(func(c map[string]any) { c["exp"] = now - 1 })), http.StatusUnauthorized},
		"not yet":          {signed(t, key, claims(func(c map[string]any) { c["nbf"] = now + 300 })), http.StatusUnauthorized},
		"another audience": {signed(t, key, claims(func(c map[string]any) { c["aud"] = "grafana" })), http.StatusUnauthorized},
		"no audience":      {signed(t, key, claims(func(c map[string]any) { delete(c, "aud") })), http.StatusUnauthorized},
		"another issuer":   {signed(t, key, claims(func(c map[string]any) { c["iss"] = "somebody" })), http.StatusUnauthorized},
		"nobody":           {signed(t, key, claims(func(c map[string]any) { delete(c, "sub") })), http.StatusUnauthorized},
		"changed":          {pieces[0] + "." + part(t, claims(func(c map[string]any) { c["sub"] = "mike" })) + "." + pieces[2], http.StatusUnauthorized},
		"no signature":     {none, http.StatusUnauthorized},
		"HS256":            {symmetric, http.StatusUnauthorized},
		"garbage":          {"garbage", http.StatusUnauthorized},
	} {
		if got := s.ask(t, "Bearer "+c.token); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := s.ask(t, ""); got != http.StatusUnauthorized {
		t.Errorf("no credentials: %d", got)
	}
	k := s.kernel(t, "alex")
	own := says(t, k, "import os; print(os.environ['TRINO_TOKEN'])")
	// Trino takes a token without an end; the hub must sign none.
	check := func(token string) map[string]any {
		t.Helper()
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]any
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		exp, _ := c["exp"].(float64)
		if life := exp - float64(time.Now().Unix()); c["sub"] != "alex" || life < 3600 || life > 12*3600 {
			t.Errorf("claims %v: a life of %.0f s", c, life)
		}
		return c
	}
	check(own)
	if got := s.ask(t, "Bearer "+own); got != http.StatusOK {
		t.Errorf("alex's own token: %d", got)
	}
	until(t, "a new token", func() error { // times in it are whole seconds
		renewed := says(t, k, "import meesh; meesh.renew(); print(os.environ['TRINO_TOKEN'])")
		if check(renewed); renewed == own {
			return errors.New("the same as before")
		}
		if got := s.ask(t, "Bearer "+renewed); got != http.StatusOK {
			t.Errorf("the new token: %d", got)
		}
		return nil
	})
	if got := says(t, k, "print(meesh.query('SELECT current_user AS me').me[0])"); got != "alex" {
		t.Errorf("Trino says that it is %s", got)
	}
}

// notebooks runs those of the mesh through the hub as alex, who sees the figures
// of the seed.
func (s *suite) notebooks(t *testing.T) {
	alex := s.server(t, "alex")
	for _, c := range []struct {
		name  string
		want  []string // in what it prints
		plots int
	}{
		{"00-welcome", []string{"alex"}, 0},
		{"01-query-the-mesh", []string{"Q1: 850 rows", "Q2: 825 rows", "Q3: 45 rows", "Q4: 526 rows", "\n850\n", "revenue of Q3: " + s.value(t, `
SELECT sum(c.revenue)::text FROM sales.customers c JOIN marketing.leads l ON c.email = l.email`)}, 0},
		{"02-customer-journey", []string{"526 journeys, 9 campaigns", "revenue " + s.paid(t)}, 3},
		{"03-build-a-model", []string{"Completed successfully", "static_index.html", "5 segments, revenue "}, 0},
		{"04-write-to-the-lake", []string{"45 rows, revenue ", "\nTrue\n", "45 rows, revenue " + s.value(t, `
SELECT sum(c.revenue)::text FROM sales.customers c JOIN marketing.leads l ON c.email = l.email`)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "mesh/customer_journey/" + c.name + ".ipynb"
			n, err := alex.Notebook(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			// As a person would: a copy in the home folder, run there.
			k, err := alex.Kernel(t.Context(), c.name+".ipynb")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = k.Close(context.WithoutCancel(t.Context())) }()
			begin := time.Now()
			err = k.Execute(t.Context(), &n)
			var said strings.Builder
			plots := 0
			for _, cell := range n.Cells {
				said.WriteString(jupyterhub.Plain(cell.Outputs))
				for _, o := range cell.Outputs {
					if _, ok := o.Data["image/png"]; ok {
						plots++
					}
				}
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			t.Logf("%.1f s", time.Since(begin).Seconds())
			for _, want := range c.want {
				if !strings.Contains("\n"+said.String(), want) {
					t.Errorf("%q is not in:\n%s", want, said.String())
				}
			}
			if plots != c.plots {
				t.Errorf("%d plots, want %d", plots, c.plots)
			}
			for _, line := range regexp.MustCompile(`Q\d: .*`).FindAllString(said.String(), -1) {
				t.Log(line)
			}
			if err := alex.Save(t.Context(), c.name+".ipynb", n); err != nil {
				t.Errorf("save with its results: %v", err)
			}
		})
	}
}

// value asks the verify database, which reads the domains without Trino.
func (s *suite) value(t *testing.T, sql string) string {
	t.Helper()
	return s.one(t, "platform-db", topology.DatabaseVerify, topology.DatabaseVerify, sql)
}

// paid is what customers paid until the data's end.
func (s *suite) paid(t *testing.T) string {
	t.Helper()
	return s.one(t, "sales-db", "sales_data", topology.RoleTrino, `SELECT sum(total_amount)::text FROM orders WHERE status = 'paid'`)
}

func (s *suite) one(t *testing.T, server, database, role, sql string) string {
	t.Helper()
	var value string
	conn := s.Connect(server, database, role)
	if database == topology.DatabaseVerify { // which knows the domains' tables as they were
		if err := bootstrap.ImportForeignTables(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func (s *suite) latency(t *testing.T) {
	k := s.kernel(t, "alex")
	out := says(t, k, `
import time
import meesh
import statistics

def once():
    begin = time.perf_counter()
    frame = meesh.query("SELECT s.customer_id, m.campaign_name FROM sales.public.customers s JOIN marketing.public.leads m ON s.email = m.email")
    assert len(frame) == 850, len(frame)
    return time.perf_counter() - begin

first = once()
print(first, statistics.median(once() for _ in range(10)))
`)
	fields := strings.Fields(out)
	first, firstErr := strconv.ParseFloat(fields[0], 64)
	warm, warmErr := strconv.ParseFloat(fields[1], 64)
	if err := errors.Join(firstErr, warmErr); err != nil {
		t.Fatal(err)
	}
	t.Logf("first %.2f s, warm %.2f s (median of 10), inside the notebook server", first, warm)
	// The goals are 3 s and 1 s; a machine that tests much else at once is slower.
	if first > 15 || warm > 5 {
		t.Errorf("first %.2f s, warm %.2f s", first, warm)
	}
}

func (s *suite) memory(t *testing.T) {
	k := s.kernel(t, "alex")
	_, err := k.Run(t.Context(), "hoard = bytearray(3 << 30)")
	if raised, ok := errors.AsType[*jupyterhub.CellError](err); !ok || raised.Name != "MemoryError" {
		t.Errorf("3 GiB: %v, want MemoryError", err)
	}
	if got := says(t, k, "print(6 * 7)"); got != "42" {
		t.Errorf("afterwards the kernel says %q", got)
	}
}

func (s *suite) status(t *testing.T) {
	s.server(t, "alex")
	for _, name := range []string{"jupyterhub", "jupyterhub-proxy", "notebook-alex"} {
		c := s.ready(t, name, 0)
		t.Logf("%s: %d MB", name, c.RSSBytes/1e6)
		if c.RSSBytes < 20e6 || c.RSSBytes > 2e9 {
			t.Errorf("%s holds %d bytes", name, c.RSSBytes)
		}
	}
}

// kill ends a component's process and waits for the next one.
func (s *suite) kill(t *testing.T, name string) {
	t.Helper()
	before := s.ready(t, name, 0)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.ready(t, name, before.PID)
}

func (s *suite) hubKilled(t *testing.T) {
	alex := s.server(t, "alex")
	k := s.kernel(t, "alex")
	server := s.ready(t, "notebook-alex", 0)
	says(t, k, "kept = 42")
	done := make(chan error, 1)
	go func() {
		outputs, err := k.Run(t.Context(), "import time; time.sleep(5); print(kept)")
		if got := strings.TrimSpace(jupyterhub.Plain(outputs)); err == nil && got != "42" {
			err = fmt.Errorf("the cell says %q", got)
		}
		done <- err
	}()
	api := fmt.Sprintf("127.0.0.1:%d", s.Port(topology.PortHubAPI))
	before := cullers(t, api)
	s.kill(t, "jupyterhub")
	if err := <-done; err != nil {
		t.Errorf("a cell that ran meanwhile: %v", err)
	}
	until(t, "the culler of idle servers is another", func() error {
		if now := cullers(t, api); len(before) != 1 || len(now) != 1 || now[0] == before[0] {
			return fmt.Errorf("before %v, now %v", before, now)
		}
		return nil
	})
	after := s.ready(t, "notebook-alex", 0)
	if after.PID != server.PID {
		t.Errorf("alex's server was process %d and is %d: it did not survive", server.PID, after.PID)
	}
	// The new hub knows it again: it is not started anew, and can be stopped.
	until(t, "the hub knows alex's server", func() error {
		var user struct{ Server string }
		if err := alex.Call(t.Context(), http.MethodGet, "/hub/api/users/alex", nil, &user); err != nil {
			return err
		}
		if user.Server == "" {
			return errors.New("it knows of none")
		}
		return nil
	})
	if got := says(t, k, "print(kept)"); got != "42" {
		t.Errorf("afterwards the kernel says %q", got)
	}
	if err := alex.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "alex's server has ended", func() error {
		servers, err := jupyterhub.Servers(string(s.home))
		if slices.ContainsFunc(servers, func(s jupyterhub.Server) bool { return s.Person == "alex" }) {
			err = cmp.Or(err, errors.New("it runs"))
		}
		return err
	})
}

func (s *suite) proxyKilled(t *testing.T) {
	k := s.kernel(t, "alex")
	says(t, k, "kept = 43")
	s.kill(t, "jupyterhub-proxy")
	// What JupyterLab does by itself: it connects again to the same kernel.
	until(t, "the way to alex's kernel is open again", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // the proxy leaves one that it knows no way for yet without an answer
		defer cancel()
		return k.Reconnect(ctx)
	})
	if got := says(t, k, "print(kept)"); got != "43" {
		t.Errorf("afterwards the kernel says %q", got)
	}
}

func (s *suite) kernelKilled(t *testing.T) {
	alex := s.server(t, "alex")
	saved := jupyterhub.NewNotebook("x = 1")
	if err := alex.Save(t.Context(), "saved.ipynb", saved); err != nil {
		t.Fatal(err)
	}
	k := s.kernel(t, "alex")
	_, err := k.Run(t.Context(), "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
	if !errors.Is(err, jupyterhub.ErrKernelDied) {
		t.Errorf("a cell that kills its kernel: %v", err)
	}
	until(t, "the kernel is there again", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a request that it was not there for yet is lost
		defer cancel()
		if err := k.Reconnect(ctx); err != nil {
			return err
		}
		outputs, err := k.Run(ctx, "print('x' in dir())")
		if got := strings.TrimSpace(jupyterhub.Plain(outputs)); err == nil && got != "False" {
			t.Errorf("the new kernel says %q", got)
		}
		return err
	})
	back, err := alex.Notebook(t.Context(), "saved.ipynb")
	if err != nil || len(back.Cells) != 1 || back.Cells[0].Source != "x = 1" {
		t.Errorf("what was saved: %+v %v", back, err)
	}
}

// diskFull: whose home is full is told so and keeps what was saved; others go on.
func (s *suite) diskFull(t *testing.T) {
	if !s.root {
		t.Skip("not run: only root can give a home a disk of its own")
	}
	const person = "alex"
	alex := s.server(t, person)
	kept, err := alex.Notebook(t.Context(), "mesh/customer_journey/00-welcome.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	if err := alex.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(s.home.Homes(), person)
	info, err := os.Stat(home)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := syscall.Mount("tmpfs", home, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID, fmt.Sprintf("size=32m,mode=0700,uid=%d,gid=%d", owner.Uid, owner.Gid)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(alex.Stop(context.Background()), syscall.Unmount(home, syscall.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	alex = s.server(t, person)
	if err := alex.Save(t.Context(), "kept.ipynb", kept); err != nil {
		t.Fatal(err)
	}
	k, err := alex.Kernel(t.Context(), "kept.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	const full = "No space left on device"
	if said := says(t, k, `
try:
    with open("big", "wb") as f:
        while True:
            f.write(bytes(1 << 16))
except OSError as e:
    print(e)`); !strings.Contains(said, full) {
		t.Errorf("a cell that fills the home says %q", said)
	}
	err = alex.Save(t.Context(), "more.ipynb", kept)
	if refused, ok := errors.AsType[*jupyterhub.StatusError](err); !ok || !strings.Contains(refused.Message, full) {
		t.Errorf("a notebook that has no room: %v", err)
	}
	if still, err := alex.Notebook(t.Context(), "kept.ipynb"); err != nil || len(still.Cells) != len(kept.Cells) {
		t.Errorf("what was saved before has %d cells of %d, %v", len(still.Cells), len(kept.Cells), err)
	}
	if err := s.server(t, "mike").Save(t.Context(), "others.ipynb", kept); err != nil {
		t.Errorf("mike, meanwhile: %v", err)
	}
	says(t, k, `import os; os.remove("big"); print("removed")`)
	if err := alex.Save(t.Context(), "more.ipynb", kept); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// An endlessQuery is one that a person asks from a notebook, hours of work.
type endlessQuery struct {
	suite  *suite
	person string
	ended  chan cellEnd
}

type cellEnd struct {
	err   error
	after time.Duration
}

// endless returns once the query runs.
func (s *suite) endless(t *testing.T, k *jupyterhub.Kernel, person string) *endlessQuery {
	t.Helper()
	q := &endlessQuery{s, person, make(chan cellEnd, 1)}
	go func() {
		begin := time.Now()
		_, err := k.Run(t.Context(), "import meesh; meesh.query('"+endlessSQL+"')")
		q.ended <- cellEnd{err, time.Since(begin)}
	}()
	until(t, person+"'s query runs", func() error {
		select {
		case end := <-q.ended:
			t.Fatalf("it ended after %.1f s: %v", end.after.Seconds(), end.err)
		default:
		}
		return q.counts(t, 1)
	})
	return q
}

const endlessSQL = "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y), UNNEST(sequence(1, 10000)) c(z) WHERE x * y * z = 7"

// counts wants so many of them to run; the person may have other queries.
func (q *endlessQuery) counts(t *testing.T, want int) error {
	out, err := q.suite.run(t.Context(), "query", "-o", "csv", fmt.Sprintf(
		"SELECT count(*) FROM system.runtime.queries WHERE state = 'RUNNING' AND \"user\" = '%s' AND query = '%s'", q.person, endlessSQL))
	if err == nil && !strings.Contains(out, fmt.Sprintf("\n%d\n", want)) {
		err = fmt.Errorf("want %d that run: %s", want, out)
	}
	return err
}

// raised waits for the end of the cell, which must raise something.
func (q *endlessQuery) raised(t *testing.T) string {
	t.Helper()
	end := <-q.ended
	raised, ok := errors.AsType[*jupyterhub.CellError](end.err)
	if !ok {
		t.Fatalf("the cell ended after %.1f s: %v", end.after.Seconds(), end.err)
	}
	t.Logf("after %.1f s the cell says: %s: %s", end.after.Seconds(), raised.Name, raised.Value)
	return raised.Name
}

func (s *suite) interrupted(t *testing.T) {
	alex := s.server(t, "alex")
	k := s.kernel(t, "alex")
	q := s.endless(t, k, "alex")
	if err := alex.Call(t.Context(), http.MethodPost, "/user/alex/api/kernels/"+k.ID+"/interrupt", nil, nil); err != nil {
		t.Fatal(err)
	}
	if name := q.raised(t); name != "KeyboardInterrupt" {
		t.Errorf("the cell raised %s", name)
	}
	// Alone it would run for five minutes, until Trino misses its client.
	meshtest.Until(t, time.Minute, "Trino works on it no more", func() error { return q.counts(t, 0) })
}

func (s *suite) trinoKilled(t *testing.T) {
	k := s.kernel(t, "alex")
	q := s.endless(t, k, "alex")
	s.kill(t, "trino")
	q.raised(t)
	until(t, "the same notebook asks again", func() error {
		_, err := k.Run(t.Context(), "meesh.query('SELECT 1 AS one')")
		return err
	})
}

func (s *suite) tour(t *testing.T) {
	t.Log("\n" + s.meesh(t, "tour", "data-scientist"))
	t.Log("\n" + s.meesh(t, "tour", "engineer"))
}

// tourBroken stops one component after the other, so that it does not serve and
// is not started anew at once either.
func (s *suite) tourBroken(t *testing.T) {
	for _, b := range []struct{ tour, component string }{
		{"data-scientist", "jupyterhub"}, {"data-scientist", "marketing-db"}, {"data-scientist", "object-store"},
		{"engineer", "marketing-ingest"}, {"analyst", "mesh-viewer"},
	} {
		name := b.component
		t.Run(b.tour+" without "+name, func(t *testing.T) {
			c := s.ready(t, name, 0)
			if err := syscall.Kill(c.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = syscall.Kill(c.PID, syscall.SIGCONT)
				s.ready(t, name, 0)
			}()
			out, err := s.run(t.Context(), "tour", b.tour, "-o", "json")
			if err == nil {
				t.Fatal("the tour succeeded")
			}
			var steps []struct {
				OK        bool
				Component string
			}
			if err := json.Unmarshal([]byte(out), &steps); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			last := steps[len(steps)-1]
			if last.OK || last.Component != name {
				t.Errorf("the tour names %q in step %d, want %q:\n%v", last.Component, len(steps), name, err)
			}
		})
	}
}

// isOut waits until neither the cookies nor the token of a log-in open anything,
// and the person's server has ended.
func (s *suite) isOut(t *testing.T, c *jupyterhub.Client) {
	t.Helper()
	until(t, "the log-in of "+c.Person+" opens nothing", func() error {
		err := c.Call(t.Context(), http.MethodGet, "/hub/api/user", nil, nil)
		if said, ok := errors.AsType[*jupyterhub.StatusError](err); !ok || said.Code != http.StatusForbidden {
			return cmp.Or(err, errors.New("the token opens the hub"))
		}
		in, err := c.LoggedIn(t.Context())
		if err == nil && in {
			err = errors.New("the cookies open the hub's page")
		}
		return err
	})
	until(t, "the server of "+c.Person+" has ended", func() error {
		servers, err := jupyterhub.Servers(string(s.home))
		if slices.ContainsFunc(servers, func(server jupyterhub.Server) bool { return server.Person == c.Person }) {
			err = cmp.Or(err, errors.New("it runs"))
		}
		return err
	})
}

// changed: with the old password go the log-ins that were made with it.
func (s *suite) changed(t *testing.T) {
	sarah := s.server(t, "sarah")
	if in, err := sarah.LoggedIn(t.Context()); err != nil || !in {
		t.Fatalf("is logged in: %v %v", in, err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("another one, of 27 letters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.meesh(t, "user", "passwd", "sarah", "--password-file", file)
	s.isOut(t, sarah)
	if _, err := jupyterhub.Login(t.Context(), s.url(), "sarah", "another one, of 27 letters"); err != nil {
		t.Error(err)
	}
	again := s.server(t, "sarah")
	s.meesh(t, "user", "rotate", "sarah")
	s.isOut(t, again)
	s.server(t, "sarah")
}

// removed: whoever is removed has no server, no session and no token, and who gets
// the name later gets nothing of theirs.
func (s *suite) removed(t *testing.T) {
	const name = "dana"
	s.meesh(t, "user", "add", name, "--group", "engineers")
	t.Cleanup(func() {
		if _, err := s.run(context.WithoutCancel(t.Context()), "user", "rm", name); err != nil {
			t.Error(err)
		}
	})
	first := s.server(t, name)
	if err := first.Call(t.Context(), http.MethodGet, "/hub/api/users", nil, nil); err != nil {
		t.Errorf("an engineer does not administer the hub: %v", err)
	}
	k, err := first.Kernel(t.Context(), "test.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	was := says(t, k, "import os; open('mine', 'w').close(); print(os.getuid(), os.getcwd())")
	s.meesh(t, "user", "rm", name)
	if servers, err := jupyterhub.Servers(string(s.home)); err != nil || slices.ContainsFunc(servers, func(server jupyterhub.Server) bool { return server.Person == name }) {
		t.Errorf("user rm has returned, and her server runs: %v %v", servers, err)
	}
	s.isOut(t, first)
	mike := s.login(t, "mike")
	until(t, "the hub has forgotten her", func() error {
		err := mike.Call(t.Context(), http.MethodGet, "/hub/api/users/"+name, nil, nil)
		if said, ok := errors.AsType[*jupyterhub.StatusError](err); ok && said.Code == http.StatusNotFound {
			return nil
		}
		return cmp.Or(err, errors.New("it knows her"))
	})

	s.meesh(t, "user", "add", name, "--group", "analysts")
	second := s.server(t, name)
	s.isOutOf(t, first)
	if err := second.Call(t.Context(), http.MethodGet, "/hub/api/users", nil, nil); err == nil {
		t.Error("an analyst administers the hub, as who had the name before did")
	}
	k, err = second.Kernel(t.Context(), "test.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	is := says(t, k, "import os; print(os.getuid(), os.getcwd())")
	if s.root && strings.Fields(is)[0] == strings.Fields(was)[0] || strings.Fields(is)[1] == strings.Fields(was)[1] {
		t.Errorf("she has the user id and home %q, who had the name before had %q", is, was)
	}
	if got := says(t, k, "print(os.path.exists('mine'))"); got != "False" {
		t.Error("she finds the files of who had the name before")
	}
}

// isOutOf looks once: a log-in that was out stays so.
func (s *suite) isOutOf(t *testing.T, c *jupyterhub.Client) {
	t.Helper()
	if err := c.Call(t.Context(), http.MethodGet, "/hub/api/user", nil, nil); err == nil {
		t.Error("the token opens again")
	}
	if in, err := c.LoggedIn(t.Context()); err != nil || in {
		t.Errorf("the cookies open the hub's page: %v %v", in, err)
	}
}

// detached: what a person leaves running, without a trace of the mesh in its
// environment, ends with their server, and with the mesh.
func (s *suite) detached(t *testing.T) {
	if !s.root {
		t.Skip("not run: only under root do people have user ids of their own")
	}
	leave := func() *jupyterhub.Client {
		t.Helper()
		alex := s.server(t, "alex")
		k, err := alex.Kernel(t.Context(), "test.ipynb")
		if err != nil {
			t.Fatal(err)
		}
		says(t, k, "import subprocess; subprocess.run(['/bin/sh', '-c', 'env -i setsid sleep 1d >/dev/null 2>&1 &'], check=True)")
		return alex
	}
	uid, err := strconv.Atoi(says(t, s.kernel(t, "alex"), "import os; print(os.getuid())"))
	if err != nil {
		t.Fatal(err)
	}
	left := leave()
	n, err := left.Notebook(t.Context(), "mesh/customer_journey/00-welcome.ipynb")
	if err == nil {
		err = errors.Join(left.Save(t.Context(), "mine.ipynb", n), left.Stop(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "nothing of alex runs", func() error {
		left, err := jupyterhub.OfUsers(uid, uid)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("these run: %v", left)
		}
		return err
	})
	if again, err := leave().Notebook(t.Context(), "mine.ipynb"); err != nil || len(again.Cells) != len(n.Cells) || len(n.Cells) == 0 {
		t.Errorf("a notebook saved before the server stopped has %d cells of %d, %v", len(again.Cells), len(n.Cells), err)
	}
}

// loginByProvider: the mesh has people come in by OpenID Connect, and by its own passwords again.
func (s *suite) loginByProvider(t *testing.T) {
	p := newProvider(t)
	text, err := json.Marshal(p.login())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "login.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.meesh(t, "up", "--hub-login", file)
	p.admits(t, s.url())
	s.meesh(t, "up") // keeps it
	p.admits(t, s.url())
	s.meesh(t, "up", "--hub-login", "passwords")
	if path, status := p.enter(t, s.url()); status == http.StatusOK && path == "/hub/home" {
		t.Error("the provider still opens")
	}
	s.login(t, "alex")
	if _, err := s.run(t.Context(), "up", "--hub-login", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was taken")
	}
}
