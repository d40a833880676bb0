//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/local"
)

// meesh simulate makes the data grow through the APIs and keeps as_of ahead of
// it, until Ctrl-C or for as long as it is told.
func (m *mesh) testSimulate(t *testing.T) {
	look := func() (orders, leads int64, asOf []string) {
		for _, d := range []struct {
			server, database, role, count string
			into                          *int64
		}{
			{"sales-db", "sales_data", "sales_owner", `SELECT count(*), max(as_of)::text FROM orders, mesh_meta`, &orders},
			{"marketing-db", "marketing_data", "marketing_owner", `SELECT count(*), max(as_of)::text FROM leads, mesh_meta`, &leads},
		} {
			conn, err := m.connect(t, d.server, d.database, d.role)
			if err != nil {
				t.Fatal(err)
			}
			var day string
			if err := conn.QueryRow(m.ctx, d.count).Scan(d.into, &day); err != nil {
				t.Fatal(err)
			}
			asOf = append(asOf, day)
			_ = conn.Close(m.ctx)
		}
		return orders, leads, asOf
	}
	orders, leads, _ := look()
	began := time.Now()
	c := m.begin(t, "simulate", "--rate", "40", "--seed", "7")
	until(t, "orders and leads grow", func() error {
		o, l, asOf := look()
		if o <= orders || l <= leads {
			return fmt.Errorf("%d orders, %d leads; before %d and %d", o, l, orders, leads)
		}
		for _, day := range asOf {
			if first, last := local.NextDay(began).Format(time.DateOnly), local.NextDay(time.Now()).Format(time.DateOnly); day < first || day > last {
				t.Errorf("as_of is %s, not the midnight to come", day)
			}
		}
		return nil
	})
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r := c.wait(t)
	if r.code != 130 {
		t.Errorf("exit code is not 130: %s", r)
	}
	says(t, r.stderr, "sales-simulate", "marketing-simulate", "orders", "leads", ", 0 failed")
	after, _, _ := look()
	again, _, _ := look()
	if after != again {
		t.Errorf("%d orders, then %d: something goes on after Ctrl-C", after, again)
	}
	if r := m.run(t, 0, "simulate", "--rate", "40", "--for", "1s"); strings.Contains(r.stdout, "simulate") {
		t.Errorf("talk on standard output: %s", r)
	}
}
