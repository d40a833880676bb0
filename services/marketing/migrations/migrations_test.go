package migrations

import (
	"testing"

	"github.com/datameesh/datameesh/services/internal/pgtest"
)

var schema = pgtest.Schema{Owner: "marketing_owner", App: "marketing_app", Migrations: Files}

func TestUpDownUpIsIdentical(t *testing.T) {
	pgtest.New(t, schema).DownAndUp(t, schema)
}

// Who may do what with which table, written by hand.
func TestRights(t *testing.T) {
	t.Parallel()
	const (
		app, trino, grafana, notebook = "marketing_app", "trino_ro", "grafana_ro", "notebook_ro"
	)
	pgtest.New(t, schema).HasRights(t, schema, pgtest.Rights{
		`SELECT * FROM campaigns`: {app, trino, grafana, notebook},
		`INSERT INTO campaigns (campaign_name, channel, budget, spend, starts_on, ends_on) VALUES ('A', 'Email', 1, 1, '2026-01-01', NULL)`: {app},
		`INSERT INTO campaigns (campaign_id, campaign_name, channel, budget, starts_on) VALUES (7, 'A', 'Email', 1, '2026-01-01')`:          nil,
		`UPDATE campaigns SET campaign_name = 'B', channel = 'Email', budget = 1, spend = 1, starts_on = '2026-01-01', ends_on = NULL`:      {app},
		`UPDATE campaigns SET campaign_id = 1`: nil,
		`DELETE FROM campaigns`:                nil,
		`TRUNCATE campaigns CASCADE`:           nil,
		`SELECT * FROM leads`:                  {app, trino},
		`SELECT lead_id, source, campaign_id, campaign_name, status, score, created_at, converted_at FROM leads`: {app, trino, grafana, notebook},
		`SELECT email FROM leads`:                 {app, trino},
		`SELECT full_name FROM leads`:             {app, trino},
		`SELECT 1 FROM leads WHERE email = 'a@b'`: {app, trino},
		`INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, score) SELECT 'a@b', 'A', 'Event', campaign_id, campaign_name, 1 FROM campaigns`:       {app},
		`INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, status) SELECT 'a@b', 'A', 'Event', campaign_id, campaign_name, 'lost' FROM campaigns`: nil,
		`UPDATE leads SET status = 'lost', converted_at = NULL`: {app},
		`UPDATE leads SET campaign_name = 'B'`:                  nil,
		`UPDATE leads SET created_at = now()`:                   nil,
		`DELETE FROM leads`:                                     nil,
		`TRUNCATE leads`:                                        nil,
		`SELECT external_id FROM leads`:                         {app, trino},
		`INSERT INTO leads (email, full_name, source, campaign_id, campaign_name, external_id) SELECT 'a@b', 'A', 'Event', campaign_id, campaign_name, 'x' FROM campaigns`: {app},
		`UPDATE leads SET external_id = 'x'`: nil,
		`SELECT * FROM lead_imports`:         {app},
		`SELECT stored FROM lead_imports`:    {app},
		`INSERT INTO lead_imports (caller, idempotency_key, format, columns) VALUES ('a', 'b', 'csv', '{email}')`:                           {app},
		`INSERT INTO lead_imports (caller, idempotency_key, format, stored) VALUES ('a', 'b', 'csv', 1)`:                                    nil,
		`UPDATE lead_imports SET state = 'running', position = 1, digest = '', stored = 1, duplicates = 1, parked = 1, completed_at = NULL`: {app},
		`UPDATE lead_imports SET idempotency_key = 'c'`:                                                                                     nil,
		`DELETE FROM lead_imports`:                     nil,
		`SELECT * FROM lead_dead_letters`:              {app},
		`SELECT dead_letter_id FROM lead_dead_letters`: {app},
		`SELECT raw FROM lead_dead_letters`:            {app},
		`INSERT INTO lead_dead_letters (import_id, position, reason, raw) SELECT import_id, 1, '', '' FROM lead_imports`:             {app},
		`INSERT INTO lead_dead_letters (import_id, position, reason, raw, lead_id) SELECT import_id, 1, '', '', 1 FROM lead_imports`: nil,
		`UPDATE lead_dead_letters SET raw = '', status = 'parked', lead_id = NULL, updated_at = now()`:                               {app},
		`UPDATE lead_dead_letters SET reason = ''`: nil,
		`DELETE FROM lead_dead_letters`:            nil,
		`SELECT * FROM idempotency_keys`:           {app},
		`INSERT INTO idempotency_keys (caller, key, request_hash, result) VALUES ('a', 'b', '', '{}')`: {app},
		`DELETE FROM idempotency_keys`:              {app},
		`SELECT * FROM schema_migrations`:           {app},
		`UPDATE schema_migrations SET dirty = true`: nil,
		`SELECT * FROM mesh_meta`:                   {app, trino, grafana, notebook},
		`UPDATE mesh_meta SET touched = true`:       {app},
		`UPDATE mesh_meta SET as_of = '2020-01-01'`: nil,
		`DELETE FROM mesh_meta`:                     nil,
		`CREATE TABLE mine (id int)`:                nil,
	})
}

func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	pgtest.New(t, schema).IsCommented(t, schema)
}

// What the database itself refuses, whoever writes.
func TestRules(t *testing.T) {
	t.Parallel()
	conn := pgtest.New(t, schema).Connect(t, "marketing_owner")
	exec := func(sql string) error {
		_, err := conn.Exec(t.Context(), sql)
		return err
	}
	if err := exec(`INSERT INTO campaigns (campaign_name, channel, budget, starts_on) VALUES ('A', 'Email', 1, '2026-01-01'), ('B', 'Email', 1, '2026-01-01')`); err != nil {
		t.Fatal(err)
	}
	if err := exec(`INSERT INTO leads (email, full_name, source, campaign_id, campaign_name) VALUES ('a@b', 'A', 'Event', 1, 'A')`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE leads SET campaign_name = 'B'`,
		`UPDATE leads SET campaign_id = 2`,
		`UPDATE leads SET campaign_id = 3, campaign_name = 'C'`,
		`UPDATE leads SET status = 'converted'`,
		`UPDATE leads SET converted_at = now()`,
		`UPDATE leads SET status = 'converted', converted_at = created_at - interval '1 second'`,
		`UPDATE leads SET score = 101`,
		`UPDATE leads SET email = 'none'`,
		`DELETE FROM campaigns WHERE campaign_id = 1`,
		`UPDATE campaigns SET campaign_name = ' b' WHERE campaign_id = 1`,
		`UPDATE campaigns SET ends_on = '2025-12-31'`,
		`UPDATE campaigns SET spend = -1`,
	} {
		if err := exec(sql); err == nil {
			t.Errorf("%s: allowed", sql)
		}
	}
	for _, sql := range []string{
		`UPDATE campaigns SET campaign_name = 'A2' WHERE campaign_id = 1`,
		`UPDATE leads SET status = 'converted', converted_at = created_at WHERE campaign_name = 'A2'`,
	} {
		if err := exec(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	var follows bool
	if err := conn.QueryRow(t.Context(), `SELECT campaign_name = 'A2' AND status = 'converted' FROM leads`).Scan(&follows); err != nil || !follows {
		t.Errorf("the lead did not follow its campaign's name; error %v", err)
	}
}
