//go:build e2e

package lake

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// TestLake uses one mesh on the object store that OBJECT_STORE names.
func TestLake(t *testing.T) {
	m := start(t)
	t.Run("tables of hive", func(t *testing.T) { m.statements(t, "testdata/hive.sql", 29) })
	t.Run("tables of lake", func(t *testing.T) { m.statements(t, "testdata/iceberg.sql", 24) })
	t.Run("people in the object store", m.people)
	t.Run("another store is refused", m.otherStore)
	t.Run("workers", m.workers)
	t.Run("dbt", m.transformation)
	t.Run("files become a source", m.addedFiles)
	t.Run("mail", m.mail)
	t.Run("Trino is killed while it writes", m.halfWritten)
	t.Run("parts are killed", m.killed)
	// These change the data.
	t.Run("export", m.exported)
	t.Run("read while exported", m.readWhileExported)
	t.Run("access", m.access)
	t.Run("export is interrupted", m.exportInterrupted)
	t.Run("compact", m.compacted)
	t.Run("stats", m.analyzed)
	t.Run("memory", m.memory)
}

// patience is how long anything may take on a slow and busy machine.
const patience = 5 * time.Minute

type mesh struct {
	program string
	home    string
	offset  int
	clients *clients
}

// clients are connections to Trino by person, made when they are needed.
type clients struct {
	mu       sync.Mutex
	byPerson map[string]*query.Client
}

// start starts a mesh with the small data in a folder and on ports of its own.
func start(t *testing.T) *mesh {
	t.Helper()
	program, err := filepath.Abs("../../bin/meesh")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	// Not t.TempDir: under root the servers' account must be able to enter.
	parent, err := os.MkdirTemp("", "meesh-lake-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &mesh{program, filepath.Join(parent, "mesh"), freeOffset(t), &clients{byPerson: map[string]*query.Client{}}}
	t.Cleanup(func() {
		for _, c := range m.clients.byPerson {
			_ = c.Close()
		}
		if t.Failed() {
			for _, args := range [][]string{{"status", "--all"}, {"logs", "-n", "12"}} {
				_, out, _ := m.try(context.Background(), args...)
				t.Logf("meesh %v\n%s", args, out)
			}
		}
		if _, _, err := m.try(context.Background(), "down", "--volumes"); err != nil {
			t.Error(err)
		}
		if err := os.Remove(parent); err != nil {
			t.Error(err)
		}
	})
	_, said := m.run(t, "up", "--scale", "small", "--port-offset", strconv.Itoa(m.offset))
	t.Log(said)
	return m
}

func freeOffset(t *testing.T) int {
	t.Helper()
	offset, err := freeport.Offset(func(offset int) map[int]string {
		return local.Ports(state.Mesh{PortOffset: offset, Profile: state.ProfileFull, TrinoWorkers: 2})
	})
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

// try runs meesh.
func (m *mesh) try(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.program, args...)
	cmd.Env = append(os.Environ(), state.HomeVariable+"="+m.home)
	cmd.Dir = "/"
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

// run runs meesh, which must succeed.
func (m *mesh) run(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	out, said, err := m.try(t.Context(), args...)
	if err != nil {
		t.Fatalf("meesh %v: %v\n%s%s", args, err, out, said)
	}
	return out, said
}

// ask returns the result of a statement as CSV without a header.
func (m *mesh) ask(t *testing.T, statement string) (string, error) {
	t.Helper()
	return m.askAs(t, "mike", statement)
}

func (m *mesh) askAs(t *testing.T, person, statement string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	writer, err := query.NewWriter("csv", &out)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := m.person(t, person).Run(ctx, statement, writer, nil); err != nil {
		return "", err
	}
	return withoutHeader(out.String())
}

// person is a connection to Trino, kept until the mesh ends.
func (m *mesh) person(t *testing.T, name string) *query.Client {
	t.Helper()
	m.clients.mu.Lock()
	defer m.clients.mu.Unlock()
	if c := m.clients.byPerson[name]; c != nil {
		return c
	}
	c := m.asker(t).client(name, nil)
	m.clients.byPerson[name] = c
	return c
}

// askProgram asks by "meesh query", whose errors name the catalogs that cannot be read.
func (m *mesh) askProgram(t *testing.T, statement string) (string, error) {
	t.Helper()
	out, said, err := m.try(t.Context(), "query", "--as", "mike", "-o", "csv", "--", statement)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return withoutHeader(out)
}

func withoutHeader(out string) (string, error) {
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		return "", err
	}
	var lines []string
	for _, r := range rows[min(1, len(rows)):] {
		lines = append(lines, strings.Join(r, ","))
	}
	return strings.Join(lines, "\n"), nil
}

func (m *mesh) want(t *testing.T, statement, want string) {
	t.Helper()
	if got, err := m.ask(t, statement); err != nil || got != want {
		t.Errorf("%s: %q %v, want %q", statement, got, err, want)
	}
}

// until asks until the answer is as wanted.
func (m *mesh) until(t *testing.T, statement, want string) {
	t.Helper()
	meshtest.Until(t, patience, statement, func() error {
		got, err := m.ask(t, statement)
		if err == nil && got != want {
			err = fmt.Errorf("%q, want %q", got, want)
		}
		return err
	})
}

// statements runs a file of statements; at least so many must be in it.
func (m *mesh) statements(t *testing.T, file string, atLeast int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		statement, want, checked := strings.Cut(strings.TrimSpace(paragraph), "\n--> ")
		if strings.HasPrefix(statement, "--") || statement == "" {
			continue
		}
		count++
		got, err := m.ask(t, statement)
		if err != nil || checked && got != want {
			t.Fatalf("%s\ngave %q %v, want %q", statement, got, err, want)
		}
	}
	if count < atLeast {
		t.Errorf("%s holds %d statements, want %d", file, count, atLeast)
	}
}

func (m *mesh) client(t *testing.T, name string) *minio.Client {
	t.Helper()
	secret, _ := m.run(t, "credentials", "s3/"+name)
	endpoint := objectstore.Endpoint{S3: net.JoinHostPort("localhost", strconv.Itoa(topology.PortObjectStore+m.offset))}
	c, err := endpoint.Client(name, strings.TrimSpace(secret))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// people: the mesh's keys open what package objectstore tests in full.
func (m *mesh) people(t *testing.T) {
	alex := m.client(t, "alex")
	put := func(key string) string {
		_, err := alex.PutObject(t.Context(), objectstore.Lake, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return minio.ToErrorResponse(err).Code
	}
	for key, want := range map[string]string{
		"alex/x": "", "analytics/x": "", "mike/x": "AccessDenied", "warehouse/x": "AccessDenied", "lake/x": "AccessDenied", "x": "AccessDenied",
	} {
		if got := put(key); got != want {
			t.Errorf("alex writes %s: %q, want %q", key, got, want)
		}
	}
	buckets, err := m.client(t, "mike").ListBuckets(t.Context())
	if err != nil || len(buckets) != 2 {
		t.Errorf("buckets %v %v", buckets, err)
	}
}

func (m *mesh) otherStore(t *testing.T) {
	kind, err := objectstore.ParseKind(os.Getenv(objectstore.Variable))
	if err != nil {
		t.Fatal(err)
	}
	other := objectstore.MinIO
	if kind == other {
		other = objectstore.VersityGW
	}
	t.Setenv(objectstore.Variable, string(other))
	_, said, err := m.try(t.Context(), "up")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(said, "down --volumes") {
		t.Errorf("up with the other store: %v %s", err, said)
	}
}

// workers join, compute and leave while queries go on.
func (m *mesh) workers(t *testing.T) {
	m.run(t, "up", "--trino-workers", "1")
	m.want(t, "select node_id, state from system.runtime.nodes where not coordinator", "worker-1,active")
	const work = "select count(*) from sales.public.orders a cross join sales.public.orders b cross join unnest(sequence(1, 50)) u(n)"
	m.want(t, work, "8000000")
	m.until(t, "select count(*) > 0 from system.runtime.tasks where node_id = 'worker-1'", "true")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asking sync.WaitGroup
	asked := 0
	var failed error
	asking.Go(func() {
		for ctx.Err() == nil {
			if got, err := m.ask(t, work); err != nil || got != "8000000" {
				failed = errors.Join(failed, fmt.Errorf("%q %w", got, err))
			}
			asked++
		}
	})
	m.run(t, "up", "--trino-workers", "0")
	cancel()
	asking.Wait()
	if failed != nil || asked == 0 {
		t.Errorf("of %d queries while a worker left: %v", asked, failed)
	}
	m.want(t, "select count(*) from system.runtime.nodes where state = 'active'", "1")
}

// memory: after all of this the whole mesh keeps what the README promises.
func (m *mesh) memory(t *testing.T) {
	out, _ := m.run(t, "status", "-o", "json")
	var components []struct {
		Name     string `json:"name"`
		RSSBytes int64  `json:"rssBytes"`
	}
	if err := json.Unmarshal([]byte(out), &components); err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, c := range components {
		total += c.RSSBytes
	}
	const least, most = 1_000_000_000, 8_000_000_000
	if t.Logf("%d MB resident", total/1e6); total < least || total > most {
		t.Errorf("%d bytes resident, want %d to %d: %s", total, least, most, out)
	}
}

// process is the process of a component; 0 while it has none.
func (m *mesh) process(ctx context.Context, name string) (pid int, err error) {
	out, said, err := m.try(ctx, "status", "-o", "json")
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, said)
	}
	var components []struct {
		Name string `json:"name"`
		PID  int    `json:"pid"`
	}
	if err := json.Unmarshal([]byte(out), &components); err != nil {
		return 0, err
	}
	for _, c := range components {
		if c.Name == name {
			return c.PID, nil
		}
	}
	return 0, fmt.Errorf("%s is not listed: %s", name, out)
}

// pid is the process of a component, which must run.
func (m *mesh) pid(t *testing.T, name string) int {
	t.Helper()
	pid, err := m.process(t.Context(), name)
	if err != nil || pid == 0 {
		t.Fatalf("%s has process %d, %v", name, pid, err)
	}
	return pid
}

// keepDown kills a component and takes its port, so that it cannot come back until
// release: whoever connects is hung up on.
func (m *mesh) keepDown(t *testing.T, name string, port int) (release func()) {
	t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port+m.offset))
	var taken net.Listener
	for begin := time.Now(); taken == nil; {
		pid, err := m.process(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if pid > 0 && syscall.Kill(pid, syscall.SIGKILL) != nil {
			continue // it has just ended
		}
		// Before the supervisor starts it again; if not, once more.
		for tick := time.Now(); taken == nil && time.Since(tick) < 100*time.Millisecond; {
			taken, err = net.Listen("tcp", address)
		}
		if time.Since(begin) > patience {
			t.Fatalf("the port of %s cannot be taken: %v", name, err)
		}
	}
	go func() {
		for {
			conn, err := taken.Accept()
			if err != nil {
				return // released
			}
			_ = conn.Close()
		}
	}()
	return func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (m *mesh) kill(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Kill(m.pid(t, name), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// halfWritten: of inserts that are broken off nothing is ever seen, in new
// partitions as in old ones.
func (m *mesh) halfWritten(t *testing.T) {
	// Formats that write as they go; Parquet keeps 128 MB back.
	tables := map[string]string{
		"hive.default.parts": "format = 'TEXTFILE', partitioned_by = array['p']",
		"lake.default.parts": "format = 'AVRO', partitioning = array['p']",
	}
	for table, with := range tables {
		if _, err := m.ask(t, "create table "+table+" with ("+with+") as select order_id, cast('x' as varchar) as bulk, 'old' as p from sales.public.orders"); err != nil {
			t.Fatal(err)
		}
	}
	size := m.stored(t)
	broken := make(chan error, len(tables))
	for table := range tables {
		go func() {
			_, err := m.ask(t, "insert into "+table+` select a.order_id, cast(uuid() as varchar), if(a.order_id % 2 = 0, 'old', 'new')
				from sales.public.orders a cross join sales.public.orders b cross join unnest(sequence(1, 10000)) u(n)`)
			broken <- err
		}()
	}
	const each = 16 << 20 // bytes
	both := fmt.Sprintf(`select count(*) from (select query_id from system.runtime.tasks join system.runtime.queries using (query_id)
		where query like 'insert into %%.parts select%%' group by 1 having sum(physical_written_bytes) >= %d)`, each)
	for begin := time.Now(); ; {
		writing, err := m.ask(t, both)
		if err != nil {
			t.Fatal(err)
		}
		if writing == strconv.Itoa(len(tables)) && m.stored(t) >= size+each {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("%s of %d inserts have written %d bytes, %d are stored", writing, len(tables), each, m.stored(t)-size)
		}
		for table := range tables {
			m.want(t, "select count(*), count_if(p = 'new') from "+table, "400,0")
		}
	}
	pid := m.pid(t, "trino")
	m.kill(t, "trino")
	// HotSpot puts this into /tmp wherever Trino's files lie.
	if _, err := os.Stat(fmt.Sprintf("/tmp/.java_pid%d", pid)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the killed Trino leaves a socket: %v", err)
	}
	for range tables {
		if err := <-broken; err == nil {
			t.Error("the insert was to be broken off")
		}
	}
	for table := range tables {
		m.until(t, "select count(*), count_if(p = 'new') from "+table, "400,0")
		if _, err := m.ask(t, "insert into "+table+" values (bigint '1', 'x', 'new')"); err != nil {
			t.Error(err)
		}
		m.want(t, "select count(*), count_if(p = 'new') from "+table, "401,1")
	}
}

// stored is the size of all files of the object store; some may come and go.
func (m *mesh) stored(t *testing.T) int64 {
	t.Helper()
	var size int64
	err := filepath.WalkDir(state.Dir(m.home).Data("object-store"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if d != nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// killed: one part down, the rest goes on, the error names the catalog, and the
// mesh heals by itself.
func (m *mesh) killed(t *testing.T) {
	for _, c := range []struct {
		component                string
		port                     int
		statement, want, catalog string
	}{
		{"hive-metastore", topology.PortHiveMetastore, "select count(*) from hive.default.parts", "401", "catalogs hive, lake"},
		{"object-store", topology.PortObjectStore, "select count(*), count_if(bulk <> '') from hive.default.parts", "401,401", "catalogs hive, lake"}, // of lake, Trino has small files in memory
		{"marketing-db", topology.PortMarketingDB, "select count(*) from marketing.public.leads", "250", "catalogs marketing, marketing_api"},
	} {
		t.Run(c.component, func(t *testing.T) {
			pid := m.pid(t, c.component)
			// Stopped, not ended: the supervisor takes some seconds to see it, and
			// the error can be seen meanwhile.
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			m.want(t, "select count(*) from sales.public.orders", "400")
			seen := make(chan error, 1)
			go func() {
				_, err := m.askProgram(t, c.statement)
				seen <- err
			}()
			m.want(t, "select count(*) from sales_api.public.mesh_meta", "1")
			t.Logf("while %s hangs: %v", c.component, <-seen) // or until it has been started again

			release := m.keepDown(t, c.component, c.port)
			_, err := m.askProgram(t, c.statement)
			m.want(t, "select count(*) from sales.public.orders", "400")
			release()
			if err == nil || !strings.Contains(err.Error(), c.catalog) {
				t.Errorf("without %s the error does not name the %s: %v", c.component, c.catalog, err)
			}
			t.Logf("without %s: %v", c.component, err)
			m.until(t, c.statement, c.want)
			if c.component != "marketing-db" {
				m.until(t, "insert into lake.default.parts values (bigint '1', 'x', 'again')", "1")
				m.until(t, "delete from lake.default.parts where p = 'again'", "1")
			}
		})
	}
}
