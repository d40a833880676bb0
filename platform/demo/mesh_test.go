//go:build mesh

package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/meshtest"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

// These tests need a mesh that runs, freshly seeded with --scale demo
// --seed 42, in the folder $MEESH_HOME:
//
//	MEESH_HOME=… go test -tags mesh ./demo

type runningMesh struct {
	*meshtest.Mesh
	t *testing.T
}

func running(t *testing.T) *runningMesh {
	t.Helper()
	return &runningMesh{meshtest.Running(t), t}
}

func (r *runningMesh) trino(person string) *query.Client {
	r.t.Helper()
	client, err := query.New(query.Config{CA: r.CA, User: person, Password: r.Password(person), Source: "test", Address: r.Trino()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

func (r *runningMesh) report(queries []Query) *Report {
	r.t.Helper()
	m := Mesh{Trino: r.trino("verify"), Oracle: Oracle(r.Connect("platform-db", "verify", "verify")), Attempts: 5, Queries: queries}
	report, err := m.Run(context.Background(), 1, os.Stderr)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestMeshIsRight(t *testing.T) {
	r := running(t).report(Queries())
	wantFailures(t, r)
	if !r.AsSeed {
		t.Errorf("not as seeded: %s", r.Why)
	}
	if want := 2*4 + 4 + 4; len(r.Checks) != want {
		t.Errorf("%d checks, want %d", len(r.Checks), want)
	}
}

// An error in a comparison query is found, for each query.
func TestMeshErrorInComparison(t *testing.T) {
	mesh := running(t)
	for i, q := range Queries() {
		planted := q
		planted.Oracle = strings.Replace(q.Oracle, "revenue", "revenue + 0.01", 1)
		// sum(revenue) + 0.01, and revenue + 0.01 of each row, need a cast again.
		planted.Oracle = strings.Replace(planted.Oracle, "c.revenue + 0.01::text", "(c.revenue + 0.01)::text", 1)
		if planted.Oracle == q.Oracle {
			t.Fatalf("%s: nothing planted", q.Name)
		}
		r := mesh.report([]Query{planted})
		found := strings.Join(failures(r), "\n")
		if r.Failed != 2 || !strings.Contains(found, q.Name+", rows by another path") || !strings.Contains(found, q.Name+", sum by another path") {
			t.Errorf("query %d: failed %d: %s", i, r.Failed, found)
		}
	}
}

// A lead planted by SQL makes the golden figures fail, and nothing else.
func TestMeshPlantedLead(t *testing.T) {
	mesh := running(t)
	sales := mesh.Connect("sales-db", "sales_data", "sales_owner")
	var email string
	if err := sales.QueryRow(context.Background(), `SELECT email FROM customers ORDER BY customer_id DESC LIMIT 1`).Scan(&email); err != nil {
		t.Fatal(err)
	}
	marketing := mesh.Connect("marketing-db", "marketing_data", "marketing_owner")
	const marker = "planted by a test"
	remove := fmt.Sprintf(`DELETE FROM leads WHERE full_name = '%s'`, marker)
	t.Cleanup(func() { exec(t, marketing, remove) })
	if _, err := marketing.Exec(context.Background(), `
		INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, status, score, created_at)
		SELECT $1, $2, source, campaign_id, campaign_name, 'new', score, created_at FROM leads LIMIT 1`, email, marker); err != nil {
		t.Fatal(err)
	}
	r := mesh.report(Queries())
	if !r.AsSeed {
		t.Errorf("a lead planted by SQL set touched: %s", r.Why)
	}
	found := failures(r)
	for _, want := range []string{"leads, as seeded: expected 2500, found 2501", "Q1, as seeded: expected 850 rows, found 851 rows"} {
		if !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("not among the failed checks: %s", want)
		}
	}
	for _, f := range found {
		if strings.Contains(f, "by another path") {
			t.Errorf("the other path disagrees: %s", f)
		}
	}
}

// A bare numeric would vanish from Trino without a word: every column of every
// domain database shows up there, with its type.
func TestMeshColumns(t *testing.T) {
	mesh := running(t)
	trino := mesh.trino("verify")
	types := map[string]string{
		"bigint": "bigint", "integer": "integer", "smallint": "smallint", "boolean": "boolean", "date": "date",
		"text": "varchar", "character varying": "varchar", "jsonb": "json", "uuid": "uuid", "double precision": "double",
		"timestamp with time zone": "timestamp(6) with time zone",
		"ARRAY":                    "array",
	}
	probed := 0
	for _, server := range topology.Servers {
		for _, d := range server.Databases {
			if d.Catalog == "" {
				continue
			}
			conn := mesh.Connect(server.Name, d.Name, topology.Superuser)
			rows, err := conn.Query(context.Background(), `
				SELECT table_name, column_name, data_type, coalesce(numeric_precision, 0), coalesce(numeric_scale, 0)
				FROM information_schema.columns
				WHERE table_schema = 'public'
				  AND has_table_privilege('trino_ro', format('%I.%I', table_schema, table_name), 'SELECT')`)
			if err != nil {
				t.Fatal(err)
			}
			type column struct {
				Table, Column, Type string
				Precision, Scale    int
			}
			columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]string{}
			found, err := trino.Texts(context.Background(), fmt.Sprintf(
				`SELECT table_name, column_name, data_type FROM %s.information_schema.columns WHERE table_schema = 'public'`, d.Catalog))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				seen[f[0]+"."+f[1]] = f[2]
			}
			if len(columns) == 0 {
				t.Errorf("%s: no column to look for", d.Name)
			}
			for _, c := range columns {
				want := types[c.Type]
				if c.Type == "numeric" {
					want = fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
				}
				got, ok := seen[c.Table+"."+c.Column]
				if !ok || want == "" || !strings.HasPrefix(got, want) {
					t.Errorf("%s.%s.%s is %s(%d,%d) in PostgreSQL and %q in Trino", d.Catalog, c.Table, c.Column, c.Type, c.Precision, c.Scale, got)
				}
				probed++
			}
		}
	}
	t.Logf("%d columns compared", probed)
}
