//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// transactions is how far the seeding of sales is.
func (m *mesh) transactions(t *testing.T) (done int, state string, err error) {
	t.Helper()
	conn, err := m.connect(t, "sales-db", "sales_data", "sales_owner")
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = conn.Close(m.ctx) }()
	err = conn.QueryRow(m.ctx, `SELECT transactions_done, state FROM mesh_meta`).Scan(&done, &state)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "not begun", nil
	}
	return done, state, err
}

// An interrupted seeding goes on where it was. That its rows are then those of
// an undisturbed one, the tests of the seeders show; here it would take minutes.
func TestInterruptedSeeding(t *testing.T) {
	m := newMesh(t)
	c := m.begin(t, m.up("--scale", "load")...)
	until(t, "some of the data is there", func() error {
		done, state, err := m.transactions(t)
		if err == nil && done < 2 {
			err = fmt.Errorf("%d transactions, %s", done, state)
		}
		return err
	})
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r := c.wait(t)
	if r.code != 130 {
		t.Errorf("exit code is not 130: %s", r)
	}
	says(t, r.stderr, "Interrupted", "up", "down")
	m.run(t, 0, "down")

	c = m.begin(t, "up")
	var before int
	until(t, "the seeding goes on", func() error {
		log := m.begin(t, "logs", "sales-api-seed", "-n", "100").wait(t).stdout
		_, after, found := strings.Cut(log, "going on with an interrupted seeding: ")
		if !found {
			return fmt.Errorf("the seeder has said:\n%s", log)
		}
		number, _, _ := strings.Cut(after, " ")
		var err error
		before, err = strconv.Atoi(number)
		return err
	})
	if before < 2 {
		t.Errorf("it began anew: %d transactions were kept", before)
	}
	until(t, "more of the data is there", func() error {
		done, state, err := m.transactions(t)
		if err == nil && done <= before {
			err = fmt.Errorf("%d transactions, %s", done, state)
		}
		return err
	})
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if r := c.wait(t); r.code != 130 {
		t.Errorf("exit code is not 130: %s", r)
	}
}
