//go:build e2e

package jupyterhub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/supervise"
)

// hubAlone starts a hub with its proxy and without a mesh, and gives its address
// and the mesh's passwords. Log-in is by what login.json says, or by these if it
// is nil. A server that nobody uses is stopped after idle.
func hubAlone(t *testing.T, login map[string]any, idle time.Duration) (string, *secrets.Store) {
	t.Helper()
	cache, err := fetch.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	tools, err := fetch.Hub(t.Context(), cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, _, err := secrets.Ensure(filepath.Join(dir, "secrets"), "")
	if err != nil {
		t.Fatal(err)
	}
	files, accounts, key := filepath.Join(dir, "files"), filepath.Join(dir, "accounts.json"), filepath.Join(dir, "key.pem")
	_, accountsErr := store.WriteHubAccounts(accounts, secrets.Notebooks{})
	if err := errors.Join(accountsErr, store.WriteTokenKeys(key, ""), jupyterhub.Install(files, "../../domains")); err != nil {
		t.Fatal(err)
	}
	page, api, proxyAPI := free(t), free(t), free(t)
	env := []string{
		"PATH=/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8",
		"JPY_COOKIE_SECRET=" + strings.Repeat("ab", 32), "CONFIGPROXY_AUTH_TOKEN=between-the-two",
		"MESH_HUB_SPAWNER=process", "MESH_HUB_STATE=" + dir, "MESH_HUB_ACCOUNTS=" + accounts, "MESH_HUB_TOKEN_KEY=" + key,
		"MESH_HUB_URL=http://" + page + "/", "MESH_HUB_API_URL=http://" + api, "MESH_HUB_PROXY_URL=http://" + proxyAPI,
		fmt.Sprintf("MESH_HUB_IDLE=%.0f", idle.Seconds()), "MESH_HUB_LONGEST=600", "MESH_HUB_FILES=" + files, "MESH_HUB_HOMES=" + dir, "MESH_HUB_MARK=" + dir,
		"MESH_NOTEBOOK_ENVIRONMENT=" + tools.Notebook, "MESH_DBT_ENVIRONMENT=" + tools.Notebook, "MESH_NOTEBOOK_MEMORY=2000000000",
	}
	if login != nil {
		loginFile := filepath.Join(dir, "login.json")
		text, err := json.Marshal(login)
		if err := errors.Join(err, os.WriteFile(loginFile, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		env = append(env, "MESH_HUB_LOGIN="+loginFile)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	var account *syscall.Credential
	if os.Geteuid() == 0 { // as whom no notebook server starts
		const nobody = 65534
		account = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, nobody, nobody))
		}); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(page)
	apiHost, apiPort, _ := net.SplitHostPort(proxyAPI)
	t.Cleanup(func() { // the last: after the hub was killed
		// The context of the test has ended.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := jupyterhub.StopServers(ctx, dir, "", 0); err != nil {
			t.Error(err)
		}
		for left := cullers(t, api); len(left) > 0; left = cullers(t, api) {
			if ctx.Err() != nil {
				t.Errorf("without its hub the culler of idle servers runs on: processes %v", left)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for _, command := range [][]string{
		{filepath.Join(tools.Proxy, "bin", "configurable-http-proxy"), "--ip", host, "--port", port, "--api-ip", apiHost, "--api-port", apiPort, "--log-level", "warn"},
		{filepath.Join(tools.Hub, "bin", "jupyterhub"), "--config", filepath.Join(files, jupyterhub.ConfigFile)},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: account}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the hub says:\n%s", text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	until(t, "a hub is ready", func() error {
		resp, err := http.Get("http://" + page + "/hub/health")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	return "http://" + page, store
}

// cullers lists the processes that stop idle servers for the hub whose interface
// has that address.
func cullers(t *testing.T, api string) []int {
	t.Helper()
	services, servicesErr := supervise.Marked("JUPYTERHUB_SERVICE_NAME", "culler")
	ofHub, ofHubErr := supervise.Marked("JUPYTERHUB_API_URL", api+"/hub/api")
	if err := errors.Join(servicesErr, ofHubErr); err != nil {
		t.Fatal(err)
	}
	var both []int
	for pid := range services {
		if _, ok := ofHub[pid]; ok {
			both = append(both, pid)
		}
	}
	return both
}

// free is an address on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// A provider is one of OpenID Connect. It knows everybody as who.
type provider struct {
	*httptest.Server
	who string
}

func newProvider(t *testing.T) *provider {
	p := &provider{who: "alex"}
	issued := map[string]string{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != "datameesh" || q.Get("response_type") != "code" || q.Get("state") == "" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		code := "code-of-" + p.who
		issued[code] = p.who
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		person, known := issued[r.PostFormValue("code")]
		if id != "datameesh" || secret != "for-the-test" || !known {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access-of-" + person, "token_type": "Bearer", "expires_in": 300})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		person, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer access-of-")
		if !ok {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"sub": "1", "preferred_username": person})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// login is what a hub is told to have people come in by the provider.
func (p *provider) login() map[string]any {
	return map[string]any{"kind": "oidc", "settings": map[string]any{
		"client_id": "datameesh", "client_secret": "for-the-test", "oauth_callback_url": "",
		"authorize_url": p.URL + "/authorize", "token_url": p.URL + "/token", "userdata_url": p.URL + "/userinfo",
		"username_claim": "preferred_username", "scope": []string{"openid"}, "login_service": "the provider",
	}}
}

// enter comes to a hub as who the provider says, and gives where it ends.
func (p *provider) enter(t *testing.T, hub string) (path string, status int) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	resp, err := client.Get(hub + "/hub/oauth_login?next=%2Fhub%2Fhome")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.Request.URL.Path, resp.StatusCode
}

// admits fails unless the hub lets alex in, and nobody whom the mesh does not know.
func (p *provider) admits(t *testing.T, hub string) {
	t.Helper()
	p.who = "alex"
	if path, status := p.enter(t, hub); path != "/hub/home" || status != http.StatusOK {
		t.Errorf("alex comes to %s with %d", path, status)
	}
	p.who = "stranger"
	if path, status := p.enter(t, hub); status != http.StatusForbidden {
		t.Errorf("whom the provider knows and the mesh does not, comes to %s with %d", path, status)
	}
}

// TestOIDCLogin logs in by a provider of OpenID Connect.
func TestOIDCLogin(t *testing.T) {
	p := newProvider(t)
	hub, _ := hubAlone(t, p.login(), time.Hour)
	p.admits(t, hub)
}

// TestLDAPLogin logs in by a directory of Debian's slapd.
func TestLDAPLogin(t *testing.T) {
	slapd, err := exec.LookPath("/usr/sbin/slapd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs slapd, which .ci/packages lists: %v", err)
		}
		t.Skip("not run: needs slapd (Debian: apt-get install slapd)")
	}
	address := directory(t, slapd)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	hub, _ := hubAlone(t, map[string]any{"kind": "ldap", "settings": map[string]any{
		"server_address": host, "server_port": number, "tls_strategy": "insecure",
		"bind_dn_template": []string{"uid={username},ou=people,dc=datameesh,dc=example"},
	}}, time.Hour)
	for _, c := range []struct {
		person, password string
		in               bool
	}{
		{"alex", "of-alex-in-ldap", true},
		{"alex", "wrong", false},
		{"alex", "", false},
		{"stranger", "of-stranger-in-ldap", false}, // the directory knows them, the mesh does not
	} {
		_, err := jupyterhub.Login(t.Context(), hub, c.person, c.password)
		if c.in && err != nil || !c.in && !errors.Is(err, jupyterhub.ErrRefused) {
			t.Errorf("%s with %q: %v", c.person, c.password, err)
		}
	}
	// Guesses are paused as those of the mesh's own passwords are: two of alex's were wrong above.
	for range 3 {
		if _, err := jupyterhub.Login(t.Context(), hub, "alex", "guessed"); !errors.Is(err, jupyterhub.ErrRefused) {
			t.Errorf("a guess: %v", err)
		}
	}
	_, err = jupyterhub.Login(t.Context(), hub, "alex", "of-alex-in-ldap")
	if paused, ok := errors.AsType[*jupyterhub.StatusError](err); !ok || paused.Code != http.StatusTooManyRequests {
		t.Errorf("the right password after five wrong ones: %v", err)
	}
}

// TestIdleServersAreStopped leaves one server alone and uses another.
func TestIdleServersAreStopped(t *testing.T) {
	hub, store := hubAlone(t, nil, 20*time.Second)
	server := func(person string) *jupyterhub.Client {
		password, err := store.Person(person)
		if err != nil {
			t.Fatal(err)
		}
		c, err := jupyterhub.Login(t.Context(), hub, person, password)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	alex, mike := server("alex"), server("mike")
	runs := func(c *jupyterhub.Client) bool {
		var user struct{ Server string }
		if err := c.Call(t.Context(), http.MethodGet, "/hub/api/users/"+c.Person, nil, &user); err != nil {
			t.Fatal(err)
		}
		return user.Server != ""
	}
	until(t, "alex's server, which nobody uses, is stopped", func() error {
		if err := mike.Call(t.Context(), http.MethodGet, "/user/mike/api/contents", nil, nil); err != nil {
			t.Fatalf("mike's server, which is used: %v", err)
		}
		if runs(alex) {
			return errors.New("it runs")
		}
		return nil
	})
	if !runs(mike) {
		t.Error("mike's server was stopped while it was used")
	}
	if err := alex.Start(t.Context()); err != nil {
		t.Errorf("alex's server, started again: %v", err)
	}
}

// directory starts a slapd with two people and gives its address.
func directory(t *testing.T, slapd string) string {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	config := filepath.Join(dir, "slapd.conf")
	entries := filepath.Join(dir, "people.ldif")
	var ldif strings.Builder
	ldif.WriteString("dn: dc=datameesh,dc=example\nobjectClass: dcObject\nobjectClass: organization\no: DataMeesh\ndc: datameesh\n\n" +
		"dn: ou=people,dc=datameesh,dc=example\nobjectClass: organizationalUnit\nou: people\n\n")
	for _, name := range []string{"alex", "stranger"} {
		fmt.Fprintf(&ldif, "dn: uid=%[1]s,ou=people,dc=datameesh,dc=example\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: of-%[1]s-in-ldap\n\n", name)
	}
	if err := errors.Join(
		os.Mkdir(data, 0o700),
		os.WriteFile(entries, []byte(ldif.String()), 0o600),
		os.WriteFile(config, []byte(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile `+dir+`/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=datameesh,dc=example"
directory `+data+`
`), 0o600)); err != nil {
		t.Fatal(err)
	}
	add := exec.Command(slapd, "-T", "add", "-f", config, "-l", entries)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	address := free(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(slapd, "-d", "0", "-f", config, "-h", "ldap://"+address)
	cmd.Stdout, cmd.Stderr = io.Writer(log), log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "slapd listens", func() error {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return address
}
