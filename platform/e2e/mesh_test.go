//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// patience is how long anything may take that a user waits for, on a slow and
// busy machine.
const patience = 4 * time.Minute

// A mesh is one mesh in a folder and on ports of its own.
type mesh struct {
	ctx    context.Context // ends before the test run is killed, and at Ctrl-C
	parent string          // folder that holds home and nothing else
	home   state.Dir       // not made yet
	offset int
	guard  int // process that removes the mesh at the end
}

// newMesh prepares a mesh; nothing is started. However the test ends, all that
// was started in the mesh's folder ends too, and the folder is removed.
func newMesh(t *testing.T) *mesh {
	t.Helper()
	program(t)
	// Not t.TempDir: under root the servers' account must be able to enter.
	parent, err := os.MkdirTemp("", "meesh-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &mesh{ctx: deadline(t), parent: parent, home: state.Dir(filepath.Join(parent, "mesh")), offset: freeOffset(t)}
	t.Cleanup(func() {
		// Not RemoveAll: "down --volumes" has removed everything, or that is an error.
		if err := os.Remove(parent); err != nil {
			t.Errorf("left behind: %v", err)
		}
		if left := processes(t, string(m.home)); len(left) > 0 {
			t.Errorf("processes left: %s", strings.Join(left, "\n"))
		}
	})
	m.watchOver(t)
	return m
}

// deadline ends what the test waits for while there is time left to remove the
// mesh.
func deadline(t *testing.T) context.Context {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if end, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-2*time.Minute))
		t.Cleanup(cancel)
	}
	return ctx
}

// watchOver starts a process that runs "down --volumes" when this one is gone,
// also when it was killed or ran out of time.
func (m *mesh) watchOver(t *testing.T) {
	t.Helper()
	guard := exec.Command("/bin/sh", "-c", `read -r _; exec "$1" down --volumes`, "sh", program(t))
	guard.Env = m.env()
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is for us
	// A file, as a pipe to a process that was killed would end the guard.
	said, err := os.CreateTemp("", "meesh-e2e-guard-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(said.Name()); err != nil {
		t.Fatal(err)
	}
	guard.Stdout, guard.Stderr = said, said
	life, err := guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	m.guard = guard.Process.Pid
	t.Cleanup(func() {
		if t.Failed() {
			m.explain(t)
		}
		_ = life.Close()
		if err := guard.Wait(); err != nil {
			text := make([]byte, 4096)
			n, _ := said.ReadAt(text, 0) // ends at the end of the file
			t.Errorf("meesh down --volumes at the end: %v\n%s", err, text[:n])
		}
		_ = said.Close()
	})
}

// explain logs what a reader of a failure wants to see first.
func (m *mesh) explain(t *testing.T) {
	for _, args := range [][]string{{"status", "--all"}, {"logs", "-n", "8"}} {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		cmd := exec.CommandContext(ctx, program(t), args...)
		cmd.Env = m.env()
		out, _ := cmd.CombinedOutput()
		cancel()
		t.Logf("meesh %s\n%s", strings.Join(args, " "), out)
	}
}

// program is the meesh that "make build" has built.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/meesh")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	return path
}

// env is the caller's environment without what would make another mesh of it.
func (m *mesh) env() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MEESH_") && !strings.HasPrefix(v, "MEESH_CACHE=") && !strings.HasPrefix(v, "MEESH_USER=")
	})
	return append(env, state.HomeVariable+"="+string(m.home))
}

// corePorts are those that the tests use.
func corePorts(offset int) map[int]string {
	return local.Ports(state.Mesh{PortOffset: offset, Profile: state.ProfileCore})
}

func freeOffset(t *testing.T) int {
	t.Helper()
	offset, err := freeport.Offset(corePorts)
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

func (m *mesh) port(n int) int { return n + m.offset }

// up are the arguments that start the mesh.
func (m *mesh) up(more ...string) []string {
	return append([]string{"up", "--profile", "core", "--port-offset", strconv.Itoa(m.offset)}, more...)
}

// A result is what a run of meesh said.
type result struct {
	args           []string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("meesh %s: exit code %d\n--- stdout\n%s--- stderr\n%s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// A command is a run of meesh under way.
type command struct {
	args           []string
	cmd            *exec.Cmd
	begin          time.Time
	stdout, stderr bytes.Buffer
}

// begin starts meesh.
func (m *mesh) begin(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, patience)
	t.Cleanup(cancel)
	c := &command{args: args, begin: time.Now(), cmd: exec.CommandContext(ctx, program(t), args...)}
	c.cmd.Env = m.env()
	c.cmd.Dir = "/"
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	// A Ctrl-C is for us, and nothing outlives us that the guard would wait for.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wait waits for the end of meesh.
func (c *command) wait(t *testing.T) result {
	t.Helper()
	err := c.cmd.Wait()
	r := result{c.args, c.cmd.ProcessState.ExitCode(), c.stdout.String(), c.stderr.String(), time.Since(c.begin)}
	if r.code < 0 {
		t.Fatalf("%v after %s: %s", err, r.took, r)
	}
	return r
}

// run runs meesh, which must end with the given code.
func (m *mesh) run(t *testing.T, code int, args ...string) result {
	t.Helper()
	r := m.begin(t, args...).wait(t)
	if r.code != code {
		t.Fatalf("exit code is not %d: %s", code, r)
	}
	return r
}

// says fails the test unless the text holds all the parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func until(t *testing.T, what string, try func() error) {
	t.Helper()
	meshtest.Until(t, patience, what, try)
}

// A component is one of "status -o json", with the fields that are documented.
type component struct {
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Ready      bool       `json:"ready"`
	WaitingFor []string   `json:"waitingFor"`
	URL        string     `json:"url"`
	PID        int        `json:"pid"`
	RSSBytes   int64      `json:"rssBytes"`
	Since      *time.Time `json:"since"`
	Error      string     `json:"error"`
}

// status asks meesh, which must end with the given code.
func (m *mesh) status(t *testing.T, code int) map[string]component {
	t.Helper()
	r := m.run(t, code, "status", "-o", "json")
	var list []component
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	all := map[string]component{}
	for _, c := range list {
		all[c.Name] = c
	}
	return all
}

// healed waits until the whole mesh is ready.
func (m *mesh) healed(t *testing.T) map[string]component {
	t.Helper()
	var all map[string]component
	until(t, "everything is ready", func() error {
		all = m.status(t, 0)
		for _, c := range all {
			if !c.Ready {
				return fmt.Errorf("%s is %s: %s", c.Name, c.State, c.Error)
			}
		}
		if len(all) == 0 {
			return errors.New("nothing runs")
		}
		return nil
	})
	return all
}

// credential is what "meesh credentials NAME" shows.
func (m *mesh) credential(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, 0, "credentials", name).stdout)
}

// ask asks Trino as mike for one value.
func (m *mesh) ask(t *testing.T, sql string) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(m.run(t, 0, "query", "-o", "csv", sql).stdout), "\n")
	if len(lines) != 2 {
		t.Fatalf("%s: %d lines, want a header and a row", sql, len(lines))
	}
	return lines[1]
}

// trino connects to Trino as a person.
func (m *mesh) trino(t *testing.T, person string) *query.Client {
	t.Helper()
	c, err := query.New(query.Config{
		Address: net.JoinHostPort("localhost", strconv.Itoa(m.port(topology.PortTrino))),
		CA:      []byte(m.run(t, 0, "ca").stdout), User: person, Password: m.credential(t, person), Source: "e2e",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// rows asks Trino and gives the values of all rows as text.
func rows(ctx context.Context, c *query.Client, sql string) ([]string, error) {
	r, err := c.Query(ctx, sql, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	var all []string
	for r.Next(ctx) {
		var row []string
		for _, v := range r.Values() {
			row = append(row, fmt.Sprint(v))
		}
		all = append(all, strings.Join(row, " "))
	}
	return all, r.Err()
}

// connect connects to a database as a role, not through any API.
func (m *mesh) connect(t *testing.T, server, database, role string) (*pgx.Conn, error) {
	t.Helper()
	s, ok := topology.ServerNamed(server)
	if !ok {
		t.Fatalf("no server %s", server)
	}
	store, err := secrets.Open(m.home.Secrets())
	if err != nil {
		return nil, err
	}
	password, err := store.Role(server, role)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port(s.Port))), RawQuery: "sslmode=disable&connect_timeout=10"}
	conn, err := pgx.Connect(m.ctx, u.String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, nil
}

// An answer of one of the HTTP services.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// into reads the body; numbers keep all their digits.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// client gives up soon: no service may let its callers hang.
var client = &http.Client{Timeout: 20 * time.Second}

// call asks one of the HTTP services; without a key when it is empty.
func (m *mesh) call(method string, port int, path, key, body string) (answer, error) {
	req, err := http.NewRequestWithContext(m.ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", m.port(port), path), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text}, err
}

// expect calls a service, which must answer with the given status.
func (m *mesh) expect(t *testing.T, code int, method string, port int, path, key, body string) answer {
	t.Helper()
	a, err := m.call(method, port, path, key, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.code != code {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, a.code, code, a.body)
	}
	return a
}

// processes lists what runs for the mesh in a folder: the folder stands in the
// command line or in the environment. What has ended and was not waited for is
// no process any more.
func processes(t *testing.T, home string, but ...int) []string {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range folders {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() || slices.Contains(but, pid) {
			continue
		}
		// Errors mean that it has ended, or that it is another account's.
		stat, _ := os.ReadFile(filepath.Join(p, "stat"))
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(p, "environ"))
		_, after, _ := strings.Cut(string(stat), ") ")
		if after == "" || strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X") {
			continue
		}
		if strings.Contains(string(line), home) || strings.Contains(string(env), home) {
			found = append(found, fmt.Sprintf("%d %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}
