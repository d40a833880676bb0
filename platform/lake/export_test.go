//go:build e2e

package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// connect connects to a domain's database as its owner, past Trino.
func (m *mesh) connect(t *testing.T, server, database, owner string) *pgx.Conn {
	t.Helper()
	s, ok := topology.ServerNamed(server)
	if !ok {
		t.Fatalf("no server %s", server)
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", owner, s.Port+m.offset, database))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := m.run(t, "credentials", server+"/"+owner)
	config.Password = strings.TrimSpace(password)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// A partition is a row of what "meesh export -o json" writes.
type partition struct {
	Table     string      `json:"table"`
	Partition string      `json:"partition"`
	Rows      int64       `json:"rows"`
	Sum       json.Number `json:"sum"`
	State     string      `json:"state"`
	Verified  bool        `json:"verified"`
}

func (m *mesh) export(t *testing.T, args ...string) map[string]partition {
	t.Helper()
	out, _ := m.run(t, append([]string{"export", "-o", "json"}, args...)...)
	var list []partition
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := map[string]partition{}
	for _, p := range list {
		found[p.Table+" "+p.Partition] = p
	}
	return found
}

// states counts the partitions by state.
func states(all map[string]partition) map[string]int {
	count := map[string]int{}
	for _, p := range all {
		count[p.State]++
	}
	return count
}

// months are the number of orders and their sum by month, as text.
func months(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT to_char(ordered_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) || ' ' || sum(total_amount)
		FROM orders WHERE ordered_at < date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var month, figures string
	if _, err := pgx.ForEachRow(rows, []any{&month, &figures}, func() error {
		found[month] = figures
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func execute(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if tag, err := conn.Exec(t.Context(), statement); err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %s %v", statement, tag, err)
	}
}

// everyOrder is what a reader asks for history and presence together.
const everyOrder = "select count(*), sum(total_amount) from lake.sales.orders_all"

func (m *mesh) exported(t *testing.T) {
	sales := m.connect(t, "sales-db", "sales_data", "sales_owner")
	var day string
	if err := sales.QueryRow(t.Context(), `SELECT max(ordered_at AT TIME ZONE 'UTC')::date::text FROM orders`).Scan(&day); err != nil {
		t.Fatal(err)
	}

	// One day, and nothing beside it; the view holds all the same.
	one := m.export(t, "--table", "sales.orders", "--since", day, "--until", day)
	if len(one) != 1 || states(one)["exported"] != 1 {
		t.Fatalf("one day: %v", one)
	}
	m.want(t, "select count(distinct cast(ordered_at as date)), max(cast(ordered_at as date)) from lake.sales.orders", "1,"+day)
	source := "select count(*), sum(total_amount) from sales.public.orders"
	everything, err := m.ask(t, source)
	if err != nil {
		t.Fatal(err)
	}
	m.want(t, everyOrder, everything)

	// All of it, verified here by another path than Trino.
	all := m.export(t)
	want := months(t, sales)
	for month, figures := range want {
		p := all["sales.orders "+month]
		if got := fmt.Sprint(p.Rows, " ", p.Sum); got != figures || !p.Verified {
			t.Errorf("%s: exported %s (%v), PostgreSQL has %s", month, got, p, figures)
		}
	}
	for _, table := range []string{"sales.orders", "marketing.leads", "sales_api.api_logs", "marketing_api.api_logs"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(name string) bool { return strings.HasPrefix(name, table+" ") }) {
			t.Errorf("no partition of %s", table)
		}
	}
	m.want(t, everyOrder, everything)
	m.want(t, "select count(*), sum(score) from lake.marketing.leads_all", m.must(t, "select count(*), sum(score) from marketing.public.leads"))
	if got, err := m.askAs(t, "alex", everyOrder); err != nil || got != everything {
		t.Errorf("alex: %q %v", got, err)
	}

	// Nobody's name, address or number.
	columns := m.must(t, "select table_schema || '.' || table_name || '.' || column_name from lake.information_schema.columns where table_schema in ('sales', 'marketing', 'sales_api', 'marketing_api')")
	if strings.Count(columns, "\n") < 60 { // four tables and their views
		t.Errorf("columns: %s", columns)
	}
	for _, personal := range []string{"mail", "phone", "full_name", "customer_name"} {
		if strings.Contains(columns, personal) {
			t.Errorf("%s is in the lake", personal)
		}
	}
	m.want(t, "select count_if(source || campaign_name || status like '%@%') from lake.marketing.leads", "0")

	// A second time changes nothing.
	snapshots := `select count(*) from lake.sales."orders$snapshots"`
	before := m.must(t, snapshots)
	if again := states(m.export(t)); again["unchanged"] != len(all) || len(again) != 1 {
		t.Errorf("second time: %v", again)
	}
	m.want(t, snapshots, before)

	// Late, changed and deleted rows: exactly their partitions again.
	execute(t, sales, `INSERT INTO orders (customer_id, total_amount, ordered_at) SELECT customer_id, 12.34, ordered_at FROM orders WHERE order_id = 1`)
	execute(t, sales, `UPDATE orders SET status = CASE status WHEN 'paid' THEN 'refunded' ELSE 'paid' END WHERE order_id = 1`)
	execute(t, sales, `DELETE FROM orders WHERE order_id = 400`)
	execute(t, sales, `INSERT INTO orders (customer_id, total_amount) VALUES (1, 55.55)`) // today: not finished
	touched := map[string]bool{}
	for month, figures := range months(t, sales) {
		touched[month] = want[month] != figures
	}
	for name, p := range m.export(t) {
		state := "unchanged"
		if month, ok := strings.CutPrefix(name, "sales.orders "); ok && touched[month] {
			state = "exported"
		}
		if p.State != state || !p.Verified {
			t.Errorf("%s is %s, want %s", name, p.State, state)
		}
	}
	m.want(t, everyOrder, m.must(t, source))
	m.want(t, "select count(*) from (select order_id, status, total_amount from lake.sales.orders_all except select order_id, status, total_amount from sales.public.orders)", "0")

	// The lake remembers what the domain has dropped.
	logs := m.connect(t, "sales-api-db", "sales_api", "apimetrics_owner")
	kept := m.must(t, "select count(*) from lake.sales_api.api_logs_all")
	var first string
	if err := logs.QueryRow(t.Context(), `SELECT min(served_at AT TIME ZONE 'UTC')::date::text FROM api_logs`).Scan(&first); err != nil {
		t.Fatal(err)
	}
	execute(t, logs, `DELETE FROM api_logs WHERE (served_at AT TIME ZONE 'UTC')::date = '`+first+`'`)
	if p := m.export(t, "--table", "sales_api.api_logs")["sales_api.api_logs "+first]; p.State != "kept" || p.Verified || p.Rows == 0 {
		t.Errorf("the dropped day: %v", p)
	}
	m.want(t, "select count(*) from lake.sales_api.api_logs_all", kept)

	for _, args := range [][]string{
		{"--until", time.Now().UTC().Format(time.DateOnly)}, {"--since", "yesterday"}, {"--table", "sales.customers"},
		{"--since", "2026-01-02", "--until", "2026-01-01"}, {"-o", "xml"}, {"--per-commit", "0"},
	} {
		_, said, err := m.try(t.Context(), append([]string{"export"}, args...)...)
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
			t.Errorf("export %v: %v %s", args, err, said)
		}
	}
}

// must asks, which must succeed.
func (m *mesh) must(t *testing.T, statement string) string {
	t.Helper()
	got, err := m.ask(t, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return got
}

// forget makes the export of the orders begin anew.
func (m *mesh) forget(t *testing.T) { m.must(t, "drop table if exists lake.sales.orders") }

// A command is a run of meesh under way.
type command struct {
	*exec.Cmd
	said bytes.Buffer
}

// begin starts an export of the orders in some nine commits.
func (m *mesh) begin(t *testing.T) *command {
	t.Helper()
	c := &command{Cmd: exec.CommandContext(t.Context(), m.program, "export", "--table", "sales.orders", "--per-commit", "1")}
	c.Env = append(os.Environ(), state.HomeVariable+"="+m.home)
	c.Stderr = &c.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// begun waits for the first partition, and that it is not the last one.
func (m *mesh) begun(t *testing.T, all int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if got, err := m.ask(t, "select count(distinct date_trunc('month', ordered_at)) from lake.sales.orders"); err == nil && got != "0" {
			if got == fmt.Sprint(all) {
				t.Fatal("the export was over before it could be interrupted")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no partition is exported")
		}
	}
}

// whole fails the test when a month is in the lake neither wholly nor not at all.
func (m *mesh) whole(t *testing.T, want map[string]string) (found int) {
	t.Helper()
	got, err := m.ask(t, `select date_format(ordered_at, '%Y-%m') || ' ' || cast(count(*) as varchar) || ' ' || cast(sum(total_amount) as varchar)
		from lake.sales.orders group by date_format(ordered_at, '%Y-%m')`)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		month, figures, _ := strings.Cut(strings.TrimSpace(line), " ")
		if want[month] != figures {
			t.Errorf("%s: %s in the lake, want %s", month, figures, want[month])
		}
		found++
	}
	return found
}

// readWhileExported: whoever reads meanwhile sees every order once and no half
// partition, also with two exports at once.
func (m *mesh) readWhileExported(t *testing.T) {
	want := months(t, m.connect(t, "sales-db", "sales_data", "sales_owner"))
	everything := m.must(t, everyOrder)
	m.forget(t)
	m.run(t, "export", "--table", "sales.orders", "--since", "2020-01-01", "--until", "2020-01-01") // the empty table
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reading sync.WaitGroup
	seen, partly := 0, 0
	reading.Go(func() {
		for ctx.Err() == nil {
			got, err := m.ask(t, everyOrder)
			if err != nil || got != everything {
				t.Errorf("the view: %q %v, want %q", got, err, everything)
			}
			if n := m.whole(t, want); n > 0 && n < len(want) {
				partly++
			}
			seen++
		}
	})
	first, second := m.begin(t), m.begin(t)
	for _, c := range []*command{first, second} {
		if err := c.Wait(); err != nil {
			t.Logf("one of two exports at once: %v %s", err, c.said.String())
		}
	}
	if got := m.export(t, "--table", "sales.orders"); len(got) != len(want) {
		t.Errorf("%d partitions, want %d", len(got), len(want))
	}
	cancel()
	reading.Wait()
	if seen < 3 || partly == 0 {
		t.Errorf("looked %d times, %d of them while it was partly exported", seen, partly)
	}
	if found := m.whole(t, want); found != len(want) {
		t.Errorf("%d partitions, want %d", found, len(want))
	}
}

// exportInterrupted: whatever is killed while partitions are written, each is
// there or not, and the next run does the rest.
func (m *mesh) exportInterrupted(t *testing.T) {
	want := months(t, m.connect(t, "sales-db", "sales_data", "sales_owner"))
	for _, c := range []struct{ victim, catalogs string }{
		{"meesh", ""},
		{"hive-metastore", "catalogs hive, lake"},
		{"object-store", "catalogs hive, lake"},
		{"sales-db", "catalog sales"},
	} {
		t.Run(c.victim, func(t *testing.T) {
			m.forget(t)
			run := m.begin(t)
			m.begun(t, len(want))
			var err error
			if c.victim == "meesh" {
				if err := run.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				if err = run.Wait(); err == nil {
					t.Error("the export was to be interrupted")
				}
			} else {
				// Stopped before it is killed, so that the export meets it in any case.
				pid := m.pid(t, c.victim)
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				m.want(t, "select count(*) from marketing.public.campaigns where campaign_id < 0", "0")
				if m.pid(t, c.victim) == pid {
					m.kill(t, c.victim)
				}
				err = run.Wait()
				t.Logf("killed %s: %v %s", c.victim, err, run.said.String())
				if err != nil && !strings.Contains(run.said.String(), c.catalogs) {
					t.Errorf("the error does not name the %s", c.catalogs)
				}
			}
			m.until(t, "select count(*) >= 0 from lake.sales.orders_all", "true")
			found := m.whole(t, want)
			if err != nil && (found == 0 || found == len(want)) {
				t.Errorf("%d of %d partitions after the interruption", found, len(want))
			}
			all := m.export(t, "--table", "sales.orders")
			if len(all) != len(want) || states(all)["unchanged"] < found {
				t.Errorf("of %d partitions %d were there: %v", len(want), found, states(all))
			}
			if found := m.whole(t, want); found != len(want) {
				t.Errorf("%d partitions, want %d", found, len(want))
			}
		})
	}
}
