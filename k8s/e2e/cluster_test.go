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
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	t     *testing.T
	lines []string
	wrong bool
}

// held notes one claim; a claim that did not hold fails the test and stands in the report as such.
func (r *report) held(claim string, ok bool, format string, args ...any) {
	r.t.Helper()
	mark := "yes"
	if !ok {
		mark, r.wrong = "**NO**", true
		r.t.Errorf("%s: %s", claim, fmt.Sprintf(format, args...))
	}
	r.lines = append(r.lines, fmt.Sprintf("| %s | %s | %s |", claim, mark, fmt.Sprintf(format, args...)))
	r.t.Logf("%s: %s: %s", claim, mark, fmt.Sprintf(format, args...))
}

// TestCluster needs an empty cluster with the images in it. MESH_OUTSIDE is a
// command that runs mesh-probe outside of the cluster; K8S_REPORT is a file for the report.
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

	begin := time.Now()
	if err := c.Up(ctx, objects, "", 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	r.held("everything is put there and ready, the marts built", true, "%.0f s", time.Since(begin).Seconds())

	node := kubectl(t, "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	insecure := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // that it answers; Q1 below verifies the certificate
	for _, s := range []struct {
		name, url string
		want      int
	}{
		{"Sales API", "http://" + node + ":30081/readyz", 200},
		{"marketing ingest", "http://" + node + ":30083/readyz", 200},
		{"object store", "http://" + node + ":30900/health", 200},
		{"object store's page", "http://" + node + ":30901/", 200},
		{"dbt documents", "http://" + node + ":30082/", 200},
		{"Trino", "https://" + node + ":30808/v1/info", 200},
	} {
		got := 0
		resp, err := insecure.Get(s.url)
		if err == nil {
			got = resp.StatusCode
			_ = resp.Body.Close()
		}
		r.held("NodePort: "+s.name, got == s.want, "%s answers %d %v", strings.TrimPrefix(s.url, "http://"+node), got, orNothing(err))
	}

	rows := q1(t, c)
	r.held("Q1 through Trino's NodePort, over TLS with the cluster's own authority", rows == 850, "%d rows", rows)

	outside := strings.Fields(os.Getenv("MESH_OUTSIDE"))
	first, err := c.Verify(ctx, time.Minute, outside)
	if err != nil {
		t.Fatal(err)
	}
	r.held("isolation, packet by packet", len(first.Wrong) == 0 && first.Probed > 5000, "%d connections, %d to be allowed, %d wrong %v", first.Probed, first.Allowed, len(first.Wrong), first.Wrong)
	if outside == nil {
		r.held("seen from outside of the cluster", false, "not run: set MESH_OUTSIDE")
	}

	// A policy is taken away: its cells turn red, and no others.
	kubectl(t, "-n", "sales-domain", "delete", "networkpolicy", "sales-api-db")
	second, err := c.Verify(ctx, 20*time.Second, outside)
	if err != nil {
		t.Fatal(err)
	}
	red := map[string]bool{}
	for _, w := range second.Wrong {
		red[fmt.Sprintf("%s → %s %d", w.From, w.To, w.Port)] = true
	}
	want := map[string]bool{}
	for _, from := range []string{"sales-api-logger", "sales-api-logger-seed", "sales-roles", "trino-coordinator", "trino-worker", "mesh-collector"} {
		want[from+" → sales-api-db 5432"] = true
	}
	r.held("a policy removed: exactly its cells turn red", equal(red, want), "sales-api-db's: %d cells", len(red))
	if err := c.Apply(ctx, objects); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(ctx, 3*time.Minute); err != nil {
		t.Fatal(err)
	}

	// A database is killed and comes back with its data.
	before := count(t, c)
	kubectl(t, "-n", "sales-domain", "delete", "pod", "sales-db-0", "--grace-period=0", "--force")
	begin = time.Now()
	if err := c.Wait(ctx, 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	after := count(t, c)
	r.held("sales-db killed: back with its data", before == after && before == 1000, "%d customers before, %d after, ready in %.0f s", before, after, time.Since(begin).Seconds())

	sent, failed, why := rolling(t, c, node)
	r.held("rolling updates of the Sales API under load", sent >= 10_000 && failed == 0, "%d requests, %d failed %s", sent, failed, why)

	begin = time.Now()
	if err := c.Up(ctx, objects, "", 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	again := time.Since(begin)
	diff, diffErr := exec.CommandContext(ctx, "kubectl", "diff", "-k", overlay).CombinedOutput()
	r.held("after a second up, kubectl diff -k is empty", diffErr == nil && len(diff) == 0, "%.0f s, %d bytes %v", again.Seconds(), len(diff), orNothing(diffErr))

	pods := kubectl(t, "get", "pods", "-A")
	versions := kubectl(t, "version")
	begin = time.Now()
	if err := c.Down(ctx, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	left := kubectl(t, "get", "namespaces,pv", "-o", "name")
	r.held("down leaves nothing", !strings.Contains(left, "domain") && !strings.Contains(left, "data-platform") && !strings.Contains(left, "persistentvolume/"), "%.0f s", time.Since(begin).Seconds())
	write(t, r, versions, pods)
}

func orNothing(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func equal(a, b map[string]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return len(a) == len(b)
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

// count asks until the database answers again.
func count(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := trino(t, c)
	for {
		rows, err := client.Texts(ctx, "SELECT count(*) FROM sales.public.customers")
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

// rolling sends 10,000 requests, half of them on connections of their own, while
// the Sales API is rolled out twice.
func rolling(t *testing.T, c *cluster.Cluster, node string) (sent, failed int64, why string) {
	t.Helper()
	key, err := c.Credential(t.Context(), "sales-reader")
	if err != nil {
		t.Fatal(err)
	}
	const total = 10_000
	tokens := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second / 150) // below the limit of a key
		defer tick.Stop()
		for range total {
			<-tick.C
			tokens <- struct{}{}
		}
		close(tokens)
	}()
	var done, bad atomic.Int64
	var reason atomic.Value
	reason.Store("")
	var wg sync.WaitGroup
	for worker := range 20 {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: worker%2 == 0}}
		wg.Go(func() {
			for range tokens {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node+":30081/v1/customers?limit=1", nil)
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
	for range 2 {
		kubectl(t, "-n", "sales-domain", "rollout", "restart", "deployment/sales-api")
		kubectl(t, "-n", "sales-domain", "rollout", "status", "deployment/sales-api", "--timeout=120s")
	}
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
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The mesh on a Kubernetes cluster: what held\n\nMade by `make test/k8s` on %s. ", time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "%s\n\n```\n%s\n```\n\n| claim | held | seen |\n|---|---|---|\n%s\n\n## Pods\n\n```\n%s\n```\n", os.Getenv("K8S_STAND_INS"), versions, strings.Join(r.lines, "\n"), pods)
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// logger gives what is told to people to the test.
type logger struct{ t *testing.T }

func (l logger) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
