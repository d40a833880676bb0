package migrations

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// Who connects directly sees leads, loaded by COPY as the seeder does, when they
// see the customers of all regions.
func TestPeopleOfOneRegionSeeNoLeads(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t, schema)
	owner := d.Connect(t, schema.Owner)
	ctx := context.Background()
	if _, err := owner.Exec(ctx, `INSERT INTO campaigns (campaign_id, campaign_name, channel, budget, starts_on) VALUES (1, 'Spring', 'Email', 1, '2026-01-01')`); err != nil {
		t.Fatal(err)
	}
	leads := [][]any{{"a@example.com", "A", "Website", int64(1), "Spring"}, {"b@example.com", "B", "Website", int64(1), "Spring"}}
	if _, err := owner.CopyFrom(ctx, pgx.Identifier{"leads"}, []string{"email", "full_name", "source", "campaign_id", "campaign_name"}, pgx.CopyFromRows(leads)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who  string
		conn *pgx.Conn
		want int
	}{
		{"the owner", owner, 2},
		{"the service", d.Connect(t, schema.App), 2},
		{"Trino", d.Connect(t, "trino_ro"), 2},
		{"Grafana", d.Connect(t, "grafana_ro"), 2},
		{"notebook_ro itself", d.Connect(t, "notebook_ro"), 2},
		{"a person of all regions", d.Person(t, "rows_all"), 2},
		{"a person of one region", d.Person(t, "rows_emea"), 0},
		{"a person of none", d.Person(t), 0},
	} {
		for _, escape := range []string{"", "SET ROLE notebook_ro"} {
			if escape != "" && c.who[:2] != "a " {
				continue
			}
			if _, err := c.conn.Exec(ctx, escape); err != nil {
				t.Errorf("%s: %s: %v", c.who, escape, err)
			}
			var got int
			if err := c.conn.QueryRow(ctx, `SELECT count(*) FROM leads`).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s %s: %d leads, want %d (%v)", c.who, escape, got, c.want, err)
			}
		}
	}
}
