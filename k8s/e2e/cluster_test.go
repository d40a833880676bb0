//go:build k8s

// Package e2e runs the mesh on the cluster of KUBECONFIG and tells what held.
package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/datameesh/datameesh/k8s/cluster"
	"github.com/datameesh/datameesh/k8s/manifest"
	"github.com/datameesh/datameesh/platform/query"
)

const (
	root    = "../.."
	overlay = "../overlays/local"
)

// kubectl runs a command of the kubectl in PATH.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "kubectl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// A report is what docs/kubernetes-proof.md is made of.
type report struct {
	t        *testing.T
	lines    []string
	sections []section
}

type section struct{ title, text string }

// held notes one claim; a claim that did not hold fails the test and stands in the report as such.
func (r *report) held(claim string, ok bool, format string, args ...any) {
	r.t.Helper()
	mark := "yes"
	if !ok {
		mark = "**NO**"
		r.t.Errorf("%s: %s", claim, fmt.Sprintf(format, args...))
	}
	r.lines = append(r.lines, fmt.Sprintf("| %s | %s | %s |", claim, mark, fmt.Sprintf(format, args...)))
	r.t.Logf("%s: %s: %s", claim, mark, fmt.Sprintf(format, args...))
}

// notShown notes a claim that this cluster cannot show, and why.
func (r *report) notShown(claim, why string) {
	r.lines = append(r.lines, fmt.Sprintf("| %s | **not shown** | %s |", claim, why))
	r.t.Logf("%s: not shown: %s", claim, why)
}

// TestCluster needs an empty cluster with the images in it. MESH_OUTSIDE is a
// command that runs mesh-probe outside of the cluster; K8S_REPORT is a file for the
// report, K8S_STAND_INS its sentence on images; K8S_PREVIOUS is the commit whose manifests are upgraded.
func TestCluster(t *testing.T) {
	ctx := t.Context()
	r := &report{t: t}
	c, err := cluster.Open(ctx, os.Getenv("MESH_CONTEXT"), logger{t})
	if err != nil {
		t.Fatal(err)
	}
	_, objects, err := manifest.Render(overlay)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := c.Preflight(ctx, objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range checks {
		r.held("preflight: "+check.Name, check.OK, "%s", check.Says)
	}
	if t.Failed() {
		t.Fatal("the cluster lacks something")
	}
	// What was found until then is written also when something ends the test.
	var versions, pods string
	defer func() { write(t, r, versions, pods) }()
	versions = kubectl(t, "version")

	begin := time.Now()
	core := coreReady(t, c, begin)
	if err := c.Up(ctx, objects, "", 12*time.Minute); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	ready := <-core
	r.held("domains and Trino are ready within 3 minutes", ready > 0 && ready < 3*time.Minute, "%.0f s", ready.Seconds())
	r.held("everything is put there and ready, the marts built", true, "%.0f s", took.Seconds())

	node := kubectl(t, "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	nodePorts(t, r, node)
	rows := q1(t, c)
	r.held("Q1 through Trino's NodePort, over TLS with the cluster's own authority", rows == 850, "%d rows", rows)
	marts := number(t, c, "SELECT count(*) FROM sales_analytics.marts.mart_customer_journey")
	r.held("the marts hold what dbt built", marts > 0, "%d rows of mart_customer_journey", marts)
	notebooks(t, r, c, node)
	hubLogin(t, r, node)

	outside := strings.Fields(os.Getenv("MESH_OUTSIDE"))
	first, err := c.Verify(ctx, time.Minute, outside)
	if err != nil {
		t.Fatal(err)
	}
	wrong := first.Wrong()
	r.held("isolation, packet by packet", len(wrong) == 0 && len(first.Cells) > 10_000, "%d connections, %d to be allowed, %d wrong%s, in %.0f s",
		len(first.Cells), first.Allowed(), len(wrong), examples(wrong), first.Took.Seconds())
	var table bytes.Buffer
	if err := first.Table(&table); err != nil {
		t.Fatal(err)
	}
	r.sections = append(r.sections, section{"Who reached whom", table.String()})
	if outside == nil {
		r.notShown("seen from outside of the cluster", "set MESH_OUTSIDE")
	}
	if first.Metadata {
		r.held("nobody of the mesh reaches the metadata address", true, "a pod of a namespace without policies does")
	} else {
		r.notShown("nobody of the mesh reaches the metadata address", "nobody answers there")
	}

	begin = time.Now()
	rules, err := c.Without(ctx, 30*time.Second, outside)
	if err != nil {
		t.Fatal(err)
	}
	var red int
	var bad []string
	for _, rule := range rules {
		red += len(rule.Red)
		for _, w := range rule.Wrong {
			bad = append(bad, rule.Rule+": "+w)
		}
	}
	r.held("each rule taken away once: exactly its connections are denied", len(bad) == 0 && len(rules) > 80, "%d rules, %d connections, %d wrong%s, in %.0f s",
		len(rules), red, len(bad), examples(bad), time.Since(begin).Seconds())

	// A database is killed and comes back with its data.
	const customers = "SELECT count(*) FROM sales.public.customers"
	before := number(t, c, customers)
	kubectl(t, "-n", "sales-domain", "delete", "pod", "sales-db-0", "--grace-period=0", "--force")
	begin = time.Now()
	if err := c.Wait(ctx, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	after := number(t, c, customers)
	r.held("sales-db killed: back with its data", before == after && before == 1000, "%d customers before, %d after, ready in %.0f s", before, after, time.Since(begin).Seconds())

	rollout := func(namespace, name string) {
		kubectl(t, "-n", namespace, "rollout", "restart", "deployment/"+name)
		kubectl(t, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=180s")
	}
	sales := "http://" + node + ":30081/v1/customers?limit=1"
	sent, failed, why := underLoad(t, sales, credential(t, c, "sales-reader"), 10_000, func() {
		rollout("sales-domain", "sales-api")
		rollout("sales-domain", "sales-api-logger")
		rollout("sales-domain", "sales-api")
	})
	r.held("rolling updates of the Sales API and its logger under load", sent >= 10_000 && failed == 0, "%d requests, %d failed %s", sent, failed, why)
	sent, failed, why = underLoad(t, "http://"+node+":30083/v1/leads?limit=1", credential(t, c, "marketing-reader"), 3_000, func() {
		rollout("marketing-domain", "marketing-ingest")
		rollout("marketing-domain", "marketing-api-logger")
	})
	r.held("rolling updates of marketing ingest and its logger under load", sent >= 3_000 && failed == 0, "%d requests, %d failed %s", sent, failed, why)

	role, key := credential(t, c, "sales-db/sales_app"), credential(t, c, "sales-reader")
	sent, failed, why = underLoad(t, sales, key, 3_000, func() {
		for _, name := range []string{"sales-db/sales_app", "sales-reader"} {
			if err := c.Rotate(ctx, objects, name, time.Hour, 5*time.Minute); err != nil {
				t.Error(err)
			}
		}
	})
	newRole, newKey := credential(t, c, "sales-db/sales_app"), credential(t, c, "sales-reader")
	r.held("a database role and an API key rotated under load", sent >= 3_000 && failed == 0 && newRole != role && newKey != key, "%d requests with the old key, %d failed %s", sent, failed, why)
	begin = time.Now()
	status := 0
	for time.Since(begin) < 3*time.Minute && status != http.StatusOK {
		if status, err = get(ctx, sales, newKey); err != nil {
			t.Fatal(err)
		}
	}
	old, err := get(ctx, sales, key)
	r.held("the new key opens, the old one still does", status == 200 && old == 200, "%d after %.0f s, and %d %v", status, time.Since(begin).Seconds(), old, orNothing(err))
	rollout("sales-domain", "sales-api") // its pods know the new password alone
	status, err = get(ctx, sales, newKey)
	r.held("pods that know the new password alone work", status == 200, "%d %v", status, orNothing(err))

	begin = time.Now()
	if err := c.Up(ctx, objects, "", 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	again := time.Since(begin)
	diff, diffErr := exec.CommandContext(ctx, "kubectl", "diff", "-k", overlay).CombinedOutput()
	r.held("after a second up, kubectl diff -k is empty", diffErr == nil && len(diff) == 0, "%.0f s, %d bytes %v", again.Seconds(), len(diff), orNothing(diffErr))

	pods = kubectl(t, "get", "pods", "-A")
	down(t, r, c, "down leaves nothing")
	upgrade(t, r, c, objects)
}

// coreReady tells once how long it took until the domains and Trino were ready; 0
// when the test ends before.
func coreReady(t *testing.T, c *cluster.Cluster, begin time.Time) <-chan time.Duration {
	t.Helper()
	result := make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for range tick.C {
			parts, err := c.Status(t.Context())
			if t.Context().Err() != nil {
				result <- 0
				return
			}
			ready := map[bool]int{}
			for _, p := range parts {
				if p.Namespace != "data-platform" || strings.HasPrefix(p.Name, "trino-") {
					ready[p.Ready]++
				}
			}
			if err == nil && ready[false] == 0 && ready[true] > 10 {
				result <- time.Since(begin)
				return
			}
		}
	}()
	return result
}

// nodePorts asks each of them for a page.
func nodePorts(t *testing.T, r *report, node string) {
	t.Helper()
	insecure := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // that it answers; Q1 verifies the certificate
	for _, s := range []struct{ name, url string }{
		{"Sales API", "http://" + node + ":30081/readyz"},
		{"marketing ingest", "http://" + node + ":30083/readyz"},
		{"object store", "http://" + node + ":30900/health"},
		{"object store's page", "http://" + node + ":30901/"},
		{"dbt documents", "http://" + node + ":30082/"},
		{"Trino", "https://" + node + ":30808/v1/info"},
		{"JupyterHub", "http://" + node + ":30080/hub/login"},
		{"Grafana", "http://" + node + ":30030/"},
	} {
		got, text := 0, ""
		resp, err := insecure.Get(s.url)
		if err == nil {
			got = resp.StatusCode
			content, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			text = string(content)
			_ = resp.Body.Close()
		}
		if strings.Contains(text, "This is no Grafana") {
			r.notShown("NodePort: "+s.name, "a stand-in answers, whose page says that it is none")
			continue
		}
		r.held("NodePort: "+s.name, got == http.StatusOK, "%s answers %d %v", s.url[strings.LastIndex(s.url, ":"):], got, orNothing(err))
	}
}

// notebooks has three people log in to JupyterHub and each get a server, asks Trino
// from one, and runs dbt in another.
func notebooks(t *testing.T, r *report, c *cluster.Cluster, node string) {
	t.Helper()
	for _, name := range []string{"alex", "sam", "mike"} {
		begin := time.Now()
		err := startServer(t, "http://"+node+":30080", name, credential(t, c, name))
		r.held("a notebook server for "+name, err == nil, "ready after %.0f s %v", time.Since(begin).Seconds(), orNothing(err))
		if err != nil {
			return
		}
	}
	text, err := os.ReadFile(root + "/platform/demo/q1.sql")
	if err != nil {
		t.Fatal(err)
	}
	in := func(person string, command ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "kubectl", append([]string{"-n", "data-platform", "exec", "jupyter-" + person, "-c", "notebook", "--"}, command...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	got, err := in("alex", "python3", "-c", "import meesh, sys; print(len(meesh.query(sys.argv[1])))", strings.TrimRight(strings.TrimSpace(string(text)), ";"))
	r.held("Q1 from a notebook server, with its person's token", got == "850", "%s rows %v", got, orNothing(err))
	_, err = in("alex", "sh", "-c", "echo secret > ~/mine.txt")
	seen, lookErr := in("sam", "sh", "-c", "find / -name mine.txt -not -path '/proc/*' 2>/dev/null | wc -l")
	r.held("a person's pod has their own folder alone", err == nil && seen == "0", "alex writes, sam finds %s files %v %v", seen, orNothing(err), orNothing(lookErr))
	begin := time.Now()
	built, err := in("mike", "bash", "-c", "cd ~/dbt_projects && dbt run --full-refresh")
	last := built[strings.LastIndex(built, "\n")+1:]
	own := number(t, c, "select count(*) from lake.dev_mike.mart_customer_journey")
	published := number(t, c, "select count(*) from sales_analytics.marts.mart_customer_journey")
	r.held("mike's full refresh by kubectl exec, into a schema of his own", err == nil && strings.Contains(last, " ERROR=0 ") && own == published,
		"%.0f s, %s, %d rows of the customer journey, published are %d %v", time.Since(begin).Seconds(), last[max(0, strings.Index(last, "Done.")):], own, published, orNothing(err))
	token, _ := in("alex", "sh", "-c", "ls /var/run/secrets/kubernetes.io 2>/dev/null | wc -l")
	r.held("a notebook server has no token of the API server", token == "0", "%s of them", token)
}

// hubLogin has the hub take people from a provider, and passwords again. No
// provider answers here; log-in by a real one is tested on one machine.
func hubLogin(t *testing.T, r *report, node string) {
	t.Helper()
	restarted := func() string {
		kubectl(t, "-n", "data-platform", "rollout", "restart", "deployment/hub")
		kubectl(t, "-n", "data-platform", "rollout", "status", "deployment/hub", "--timeout=3m")
		for begin := time.Now(); ; {
			resp, err := http.Get("http://" + node + ":30080/hub/login")
			if err == nil {
				var text []byte
				text, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusOK {
					return string(text)
				}
			}
			if time.Since(begin) > time.Minute { // the way to a new pod opens within seconds
				t.Fatalf("the page to log in: %v", err)
			}
			time.Sleep(time.Second)
		}
	}
	const login = `{"kind": "oidc", "settings": {"client_id": "datameesh", "client_secret": "of the test", "login_service": "the provider",
		"authorize_url": "https://login.example.com/authorize", "token_url": "https://login.example.com/token", "userdata_url": "https://login.example.com/userinfo"}}`
	kubectl(t, "-n", "data-platform", "create", "secret", "generic", "hub-login", "--from-literal=login.json="+login)
	with := restarted()
	kubectl(t, "-n", "data-platform", "delete", "secret", "hub-login")
	without := restarted()
	const password = `type="password"`
	r.held("the Secret hub-login has people come by a provider, without it by passwords",
		strings.Contains(with, "Sign in with the provider") && !strings.Contains(with, password) && strings.Contains(without, password),
		"%d and %d bytes of page", len(with), len(without))
}

// startServer logs in to the hub and waits for the person's server.
func startServer(t *testing.T, hub, name, password string) error {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	at, err := url.Parse(hub + "/hub/")
	if err != nil {
		return err
	}
	if _, err := page(client, hub+"/hub/login"); err != nil {
		return err
	}
	xsrf := func() string {
		for _, cookie := range jar.Cookies(at) {
			if cookie.Name == "_xsrf" {
				return cookie.Value
			}
		}
		return ""
	}
	resp, err := client.PostForm(hub+"/hub/login", url.Values{"username": {name}, "password": {password}, "_xsrf": {xsrf()}})
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("log-in of %s: %s", name, resp.Status)
	}
	// Whoever is logged in and has no server is given one by this page.
	if _, err := page(client, hub+"/hub/spawn"); err != nil {
		return err
	}
	for begin := time.Now(); ; {
		// The page leads over the hub, which tells the server who comes; its API only refuses strangers.
		status, err := page(client, hub+"/user/"+name+"/lab")
		if err == nil && status == http.StatusOK {
			if status, err = page(client, hub+"/user/"+name+"/api/status"); err == nil && status == http.StatusOK {
				return nil
			}
		}
		if time.Since(begin) > 3*time.Minute {
			return fmt.Errorf("no server after 3 minutes: status %d, %v", status, orNothing(err))
		}
		select {
		case <-time.After(time.Second):
		case <-t.Context().Done():
			return t.Context().Err()
		}
	}
}

func page(client *http.Client, address string) (int, error) {
	resp, err := client.Get(address)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, err
}

// get asks a service with an API key.
func get(ctx context.Context, address, key string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, err
}

func credential(t *testing.T, c *cluster.Cluster, name string) string {
	t.Helper()
	value, err := c.Credential(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// down removes the mesh and looks whether something of it is left.
func down(t *testing.T, r *report, c *cluster.Cluster, claim string) {
	t.Helper()
	begin := time.Now()
	if err := c.Down(t.Context(), 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	left := kubectl(t, "get", "namespaces,pv,clusterroles,clusterrolebindings", "-o", "name")
	ours := regexp.MustCompile(`.*(-domain|data-platform|datameesh|meesh-|persistentvolume/).*`).FindAllString(left, -1)
	r.held(claim, len(ours) == 0, "%.0f s %v", time.Since(begin).Seconds(), strings.Join(ours, " "))
}

// upgrade puts the manifests of an earlier commit there, has data made in a domain
// and in the lake, and brings them to today's.
func upgrade(t *testing.T, r *report, c *cluster.Cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	commit, earlier := previous(t)
	if err := c.Up(t.Context(), earlier, "", 12*time.Minute); err != nil {
		t.Fatalf("manifests of %s: %v", commit, err)
	}
	client := trino(t, c)
	const ask = "SELECT count(*) + (SELECT sum(n) FROM lake.default.upgraded) FROM sales.public.orders"
	for _, statement := range []string{"CREATE SCHEMA IF NOT EXISTS lake.default", "CREATE TABLE lake.default.upgraded AS SELECT 42 AS n"} {
		if _, err := client.Texts(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	before := number(t, c, ask)
	begin := time.Now()
	if err := c.Up(t.Context(), objects, "", 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	after := number(t, c, ask)
	r.held("upgrade from the manifests of "+commit+", with data", before == after && before > 8000, "orders and a table of the lake: %d before, %d after; ready in %.0f s", before, after, took.Seconds())
	down(t, r, c, "down leaves nothing after an upgrade")
}

// previous are the objects of an earlier commit, which keeps them rendered: those
// of K8S_PREVIOUS, else of the last commit that renders otherwise than this one.
func previous(t *testing.T) (commit string, objects []*unstructured.Unstructured) {
	t.Helper()
	const golden = "k8s/check/testdata/local.yaml"
	now, err := os.ReadFile(root + "/" + golden)
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", root}, args...)...).Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	commits := strings.Fields(os.Getenv("K8S_PREVIOUS"))
	if len(commits) == 0 {
		commits = strings.Fields(git("log", "--format=%h", "--", golden))
	}
	for _, commit := range commits {
		text := git("show", commit+":"+golden)
		if text == string(now) {
			continue
		}
		objects, err := manifest.Read([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return commit, objects
	}
	t.Fatal("no earlier commit renders otherwise")
	return "", nil
}

func orNothing(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// trino connects as a person, by the NodePort on this machine.
func trino(t *testing.T, c *cluster.Cluster) *query.Client {
	t.Helper()
	ca, err := c.CA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	password, err := c.Credential(t.Context(), "mike")
	if err != nil {
		t.Fatal(err)
	}
	client, err := query.New(query.Config{Address: "localhost:30808", CA: ca, User: "mike", Password: password, Source: "k8s e2e"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func q1(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	text, err := os.ReadFile(root + "/platform/demo/q1.sql")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := trino(t, c).Texts(t.Context(), string(text))
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
}

// number asks until what is asked answers again.
func number(t *testing.T, c *cluster.Cluster, statement string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := trino(t, c)
	for {
		rows, err := client.Texts(ctx, statement)
		if err == nil {
			n, err := strconv.Atoi(rows[0][0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// underLoad sends total requests, and more until meanwhile has ended, half of them
// on connections of their own.
func underLoad(t *testing.T, address, key string, total int, meanwhile func()) (sent, failed int64, why string) {
	t.Helper()
	tokens, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(tokens)
		tick := time.NewTicker(time.Second / 150) // below the limit of a key
		defer tick.Stop()
		for n := 0; ; n++ {
			if n >= total {
				select {
				case <-over:
					return
				default:
				}
			}
			<-tick.C
			tokens <- struct{}{}
		}
	}()
	var done, bad atomic.Int64
	var reason atomic.Value
	reason.Store("")
	var wg sync.WaitGroup
	for worker := range 20 {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: worker%2 == 0}}
		wg.Go(func() {
			for range tokens {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+key)
				done.Add(1)
				resp, err := client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if err == nil && resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("status %s", resp.Status)
					}
				}
				if err != nil {
					bad.Add(1)
					reason.Store(err.Error())
				}
			}
		})
	}
	meanwhile()
	close(over)
	wg.Wait()
	return done.Load(), bad.Load(), reason.Load().(string)
}

// write makes the report.
func write(t *testing.T, r *report, versions, pods string) {
	t.Helper()
	file := os.Getenv("K8S_REPORT")
	if file == "" {
		return
	}
	r.sections = append(r.sections, section{"Pods", pods})
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The mesh on a Kubernetes cluster: what held\n\nMade by `make test/k8s` on %s. ", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "%s\n\n```\n%s\n```\n\n| claim | held | seen |\n|---|---|---|\n%s\n", os.Getenv("K8S_STAND_INS"), versions, strings.Join(r.lines, "\n"))
	for _, s := range r.sections {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", s.title, strings.TrimSpace(s.text))
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Error(err)
	}
}

// logger gives what is told to people to the test.
type logger struct{ t *testing.T }

func (l logger) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// examples are the first of a list, to be written behind its number.
func examples[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(" %v", list[:min(5, len(list))])
}
