//go:build e2e

package lake

import (
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

// trino asks as the user that keeps the lake.
func (m *mesh) trino(t *testing.T) *query.Client {
	t.Helper()
	c := m.asker(t).client("lake", Session)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// store lists objects as root.
func (m *mesh) store(t *testing.T) objectstore.Endpoint {
	t.Helper()
	secret, _ := m.run(t, "credentials", "s3/"+objectstore.Root)
	return objectstore.Endpoint{S3: net.JoinHostPort("localhost", strconv.Itoa(topology.PortObjectStore+m.offset)), Secret: strings.TrimSpace(secret)}
}

// objects are the names below a folder of the lake's bucket.
func (m *mesh) objects(t *testing.T, prefix string) map[string]bool {
	t.Helper()
	endpoint := m.store(t)
	client, err := endpoint.Client(objectstore.Root, endpoint.Secret)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for o := range client.ListObjects(t.Context(), objectstore.Lake, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		found[o.Key] = true
	}
	return found
}

// compacted: fewer files and snapshots, the same rows, and what is not needed
// any more is gone from the store.
func (m *mesh) compacted(t *testing.T) {
	const table, rows = "lake.default.crumbs", "select count(*), sum(order_id), to_hex(checksum(row(order_id, status))) from lake.default.crumbs"
	m.must(t, "create table "+table+" with (partitioning = array['status']) as select order_id, status from sales.public.orders where false")
	for n := range 4 {
		m.must(t, "insert into "+table+" select order_id, status from sales.public.orders where order_id % 4 = "+strconv.Itoa(n))
	}
	m.must(t, "delete from "+table+" where order_id <= 20")
	want := m.must(t, rows)
	file := strings.TrimPrefix(m.must(t, `select min("$path") from `+table), "s3://"+objectstore.Lake+"/")
	folder, _, _ := strings.Cut(file, "/data/")
	old := m.objects(t, folder+"/data/")
	if !old[file] || len(old) < 12 {
		t.Fatalf("objects %v", old)
	}

	// By default everything young stays readable.
	snapshots := m.must(t, `select count(*) from lake.default."crumbs$snapshots"`)
	out, _ := m.run(t, "compact", table, "-o", "json")
	var figures []struct {
		Table           string `json:"table"`
		FilesBefore     int    `json:"files_before"`
		FilesAfter      int    `json:"files_after"`
		SnapshotsBefore int    `json:"snapshots_before"`
		SnapshotsAfter  int    `json:"snapshots_after"`
		ObjectsAfter    int    `json:"objects_after"`
		BytesBefore     int    `json:"bytes_before"`
		BytesAfter      int    `json:"bytes_after"`
	}
	if err := json.Unmarshal([]byte(out), &figures); err != nil || len(figures) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	f := figures[0]
	statuses, err := strconv.Atoi(m.must(t, "select count(distinct status) from "+table))
	if err != nil {
		t.Fatal(err)
	}
	if f.Table != table || f.FilesBefore < 12 || f.FilesAfter != statuses || strconv.Itoa(f.SnapshotsBefore) != snapshots || f.SnapshotsAfter <= f.SnapshotsBefore || f.BytesAfter >= f.BytesBefore {
		t.Errorf("%+v, %d statuses", f, statuses)
	}
	m.want(t, rows, want)
	for name := range old {
		if !m.objects(t, folder)[name] {
			t.Fatalf("%s is gone too early", name)
		}
	}

	// A left-over of a statement that was killed, and snapshots that nobody wants.
	endpoint := m.store(t)
	client, err := endpoint.Client(objectstore.Root, endpoint.Secret)
	if err != nil {
		t.Fatal(err)
	}
	orphan := folder + "/data/left-over.parquet"
	if _, err := client.PutObject(t.Context(), objectstore.Lake, orphan, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(t.Context(), m.trino(t), endpoint, table, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if after.Snapshots != 1 || after.Files != int64(statuses) || after.Objects >= before.Objects || after.Stored >= before.Stored {
		t.Errorf("before %+v, after %+v", before, after)
	}
	m.want(t, rows, want)
	left := m.objects(t, folder)
	if left[orphan] {
		t.Error("the left-over is still there")
	}
	for name := range old {
		if left[name] {
			t.Errorf("%s is still there", name)
		}
	}
	if int64(len(left)) != after.Objects {
		t.Errorf("%d objects in the store, %d reported", len(left), after.Objects)
	}

	// All tables of the lake, as a user does it; what was exported stays as it is.
	exported := states(m.export(t))
	everything := m.must(t, everyOrder)
	m.run(t, "compact", "--snapshots", "0s")
	m.want(t, everyOrder, everything)
	m.want(t, `select count(*) from lake.sales."orders$snapshots"`, "1")
	if again := states(m.export(t)); again["unchanged"]+again["kept"] != exported["unchanged"]+exported["kept"]+exported["exported"] {
		t.Errorf("the export finds other data after compaction: %v, before %v", again, exported)
	}
	for _, args := range [][]string{{"--orphans", "59m"}, {"--snapshots", "-1s"}, {"sales.orders"}, {"sales.public.orders"}, {"-o", "xml"}} {
		_, said, err := m.try(t.Context(), append([]string{"compact"}, args...)...)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
			t.Errorf("compact %v: %v %s", args, err, said)
		}
	}
}

// A step is a row of what "meesh stats -o json" writes.
type step struct {
	Step   string `json:"step"`
	Table  string `json:"table"`
	Before *int64 `json:"rows_before"`
	After  *int64 `json:"rows_after"`
}

func (m *mesh) stats(t *testing.T, statement ...string) ([]step, string) {
	t.Helper()
	out, said := m.run(t, append([]string{"stats", "-o", "json"}, statement...)...)
	var steps []step
	if err := json.Unmarshal([]byte(out), &steps); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return steps, said
}

// analyzed: the planner learns what it did not know, of each kind of table.
func (m *mesh) analyzed(t *testing.T) {
	m.forget(t)
	m.export(t, "--table", "sales.orders")
	_, said := m.stats(t)
	if !strings.Contains(said, "ANALYZE lake.sales.orders by Trino") || !strings.Contains(said, "ANALYZE sales.public.customers by sales-db (PostgreSQL)") {
		t.Error(said)
	}

	sales := m.connect(t, "sales-db", "sales_data", "sales_owner")
	if _, err := sales.Exec(t.Context(), `ALTER TABLE orders SET (autovacuum_enabled = false)`); err != nil {
		t.Fatal(err)
	}
	// A table that nobody has analysed, PostgreSQL by itself neither.
	execute(t, sales, `CREATE TABLE fresh WITH (autovacuum_enabled = false) AS SELECT * FROM orders`)
	if _, err := sales.Exec(t.Context(), `GRANT SELECT ON fresh TO trino_ro`); err != nil {
		t.Fatal(err)
	}
	m.flush(t)
	rows, err := strconv.ParseInt(m.must(t, "select count(*) from sales.public.fresh"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	steps, said := m.stats(t, "select order_id from sales.public.fresh")
	if last := steps[len(steps)-1]; last.Table != "sales.public.fresh" || last.Before != nil || last.After == nil || *last.After != rows {
		t.Errorf("%v, want %d rows after and no estimate before: %s", last, rows, said)
	}
	if _, err := sales.Exec(t.Context(), `DROP TABLE fresh`); err != nil {
		t.Fatal(err)
	}

	const live = "select order_id from sales.public.orders"
	m.stats(t, live)
	execute(t, sales, `INSERT INTO orders (customer_id, total_amount) SELECT 1, 1 FROM generate_series(1, 1000)`)
	count, err := strconv.ParseInt(m.must(t, "select count(*) from sales.public.orders"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	steps, _ = m.stats(t, live)
	if last := steps[len(steps)-1]; last.Table != "sales.public.orders" || last.Before == nil || last.After == nil || *last.Before >= *last.After || *last.After != count {
		t.Errorf("%v, want %d rows after", last, count)
	}

	m.must(t, "create table hive.default.analyzed as select order_id from sales.public.orders where order_id <= 10")
	if steps, said := m.stats(t, "select order_id from hive.default.analyzed"); len(steps) == 0 || *steps[len(steps)-1].After != 10 || !strings.Contains(said, "by Trino") {
		t.Errorf("%v %s", steps, said)
	}
	if _, said, err := m.try(t.Context(), "stats", "select 1"); err == nil || !strings.Contains(said, "reads no table") {
		t.Errorf("no table: %v %s", err, said)
	}
}
