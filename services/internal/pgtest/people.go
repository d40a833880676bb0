package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Person connects as a new role in notebook_ro, as the bootstrap makes one for
// each of the people who log in directly; rows are the further roles that it is a
// member of ("rows_all", "rows_emea"). The role is dropped when the test ends.
func (d Database) Person(t testing.TB, rows ...string) *pgx.Conn {
	t.Helper()
	admin := connect(t, d.admin)
	name := "person_" + strings.ToLower(rand.Text()[:12])
	password, _ := d.admin.User.Password()
	for _, group := range rows {
		exec(t, admin, fmt.Sprintf(`DO $$ BEGIN CREATE ROLE %s NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`, group))
	}
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE %s`, name, password, strings.Join(append([]string{"notebook_ro"}, rows...), ", ")))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), d.admin.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(context.Background()) //nolint:errcheck // the test is over
		exec(t, conn, `DROP ROLE `+name)
	})
	return d.Connect(t, name)
}
