package bootstrap

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/topology"
)

// People who log in directly have a role each, which goes with them, and the
// session on it too; what they are members of follows their region.
func TestPeople(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	plan := s.plan("sales-db")
	s.run(plan, s.config())
	membersOf := func(role string) (names []string) {
		conn := s.connect("", "")
		rows, err := conn.Query(ctx, `SELECT m.rolname::text FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid WHERE g.rolname = $1 ORDER BY 1`, s.prefix+role)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				t.Fatal(err)
			}
			names = append(names, name[len(s.prefix):])
		}
		return names
	}
	for role, want := range map[string][]string{
		"notebook_ro": {"alex", "mia", "mike", "sam"}, "rows_all": {"alex", "mike", "sam"}, "rows_emea": {"mia"}, "rows_apac": nil,
	} {
		if got := membersOf(role); !slices.Equal(got, want) {
			t.Errorf("%s has the members %v, want %v", role, got, want)
		}
	}
	session := s.connect("mia", "sales_data")
	var readOnly, logged string
	if err := session.QueryRow(ctx, `SELECT current_setting('default_transaction_read_only'), current_setting('log_min_duration_statement')`).Scan(&readOnly, &logged); err != nil || readOnly != "on" || logged != "0" {
		t.Errorf("read-only %q, logged %q: %v", readOnly, logged, err)
	}
	if _, err := session.Exec(ctx, `SET log_min_duration_statement = -1`); code(err) != "42501" {
		t.Errorf("mia switches off the log of her statements: %v", err)
	}

	// mia goes; sam gets a region.
	plan.Roles = slices.Clone(plan.Roles) // the test's clean-up has the others
	i := slices.IndexFunc(plan.Roles, func(r Role) bool { return r.Name == s.prefix+"mia" })
	plan.Roles = slices.Delete(plan.Roles, i, i+1)
	i = slices.IndexFunc(plan.Roles, func(r Role) bool { return r.Name == s.prefix+"sam" })
	plan.Roles[i].Member = []string{s.prefix + topology.RoleNotebook, s.prefix + "rows_apac"}
	s.run(plan, s.config())
	for role, want := range map[string][]string{"notebook_ro": {"alex", "mike", "sam"}, "rows_all": {"alex", "mike"}, "rows_emea": nil, "rows_apac": {"sam"}} {
		if got := membersOf(role); !slices.Equal(got, want) {
			t.Errorf("then %s has the members %v, want %v", role, got, want)
		}
	}
	if err := session.Ping(ctx); err == nil {
		t.Error("mia's session goes on")
	}
	if changes := s.run(plan, s.config()); len(changes) != 0 {
		t.Errorf("the next run changed %q", changes)
	}
}

// Nobody logs in as the role that people's roles are members of: what it saw
// would be nobody's doing. One that could until now cannot any more.
func TestNobodyLogsInAsTheGroup(t *testing.T) {
	s := newTestServer(t)
	plan := s.plan("sales-db")
	s.run(plan, s.config())
	group := s.prefix + topology.RoleNotebook
	s.exec(s.connect("", ""), `ALTER ROLE `+group+` LOGIN PASSWORD 'pw of `+group+`'`)
	session := s.connect(topology.RoleNotebook, "sales_data")
	s.run(plan, s.config())
	if err := session.Ping(t.Context()); err == nil {
		t.Error("a session of before goes on")
	}
	conn, err := pgx.Connect(t.Context(), s.dsn(topology.RoleNotebook, "sales_data"))
	if code(err) != "28000" { // invalid_authorization_specification
		t.Errorf("logs in: %v", err)
	}
	if err == nil {
		_ = conn.Close(t.Context())
	}
	s.connect("alex", "sales_data")
}

// The key of the masks is read by Trino alone, and replaced when it is another.
func TestMaskKey(t *testing.T) {
	ctx := context.Background()
	s := newTestServer(t)
	plan := s.plan("marketing-db")
	s.run(plan, s.config())
	read := func(role string) (key []byte, err error) {
		err = s.connect(role, "marketing_data").QueryRow(ctx, `SELECT key FROM masking.key`).Scan(&key)
		return key, err
	}
	for _, role := range []string{"marketing_owner", "marketing_app", "grafana_ro", "alex", "mike"} {
		if key, err := read(role); code(err) != "42501" {
			t.Errorf("%s reads %q (%v)", role, key, err)
		}
	}
	if key, err := read("trino_ro"); err != nil || string(key) != "the key" {
		t.Errorf("Trino reads %q (%v)", key, err)
	}
	cfg := s.config()
	cfg.MaskKey = func() (string, error) { return "another", nil }
	s.run(plan, cfg)
	if key, err := read("trino_ro"); err != nil || string(key) != "another" {
		t.Errorf("Trino reads %q (%v)", key, err)
	}
}
