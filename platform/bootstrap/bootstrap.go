package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/policy"
)

// A Config says where the server is and where passwords come from.
type Config struct {
	// DSN connects to the server as superuser; its database is only the first
	// one connected to.
	DSN string
	// Password of a role of the plan.
	Password func(role string) (string, error)
	// MaskKey is the key of the hashes that Trino shows in place of personal data.
	MaskKey func() (string, error)
	// Remote says how to reach another server of the mesh, for postgres_fdw:
	// host, port and the password of a role there.
	Remote func(server, role string) (host string, port int, password string, err error)
}

// lock is held while a server is bootstrapped, so that two bootstraps of one
// server (a Job that is retried) follow each other.
const lock = 0x6d65657368

// Run carries the plan out on one server. It can be repeated at any time: it
// makes what is missing, sets back what differs, and returns a line for each
// thing it made or changed, nothing for what was right already.
func Run(ctx context.Context, plan Plan, cfg Config) (changes []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("bootstrap: %w", err)
		}
	}()
	config, err := pgx.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, err
	}
	r := &run{config: config, cfg: cfg}
	conn, err := r.connect(ctx, config.Database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, lock); err != nil {
		return nil, err
	}
	for _, role := range plan.Roles {
		if err := r.role(ctx, conn, role); err != nil {
			return r.changes, fmt.Errorf("role %s: %w", role.Name, err)
		}
	}
	if err := r.gone(ctx, conn, plan); err != nil {
		return r.changes, err
	}
	for _, d := range plan.Databases {
		if err := r.database(ctx, conn, d); err != nil {
			return r.changes, fmt.Errorf("database %s: %w", d.Name, err)
		}
	}
	for _, d := range plan.Closed {
		if err := r.connectors(ctx, conn, Database{Name: d}); err != nil {
			return r.changes, fmt.Errorf("database %s: %w", d, err)
		}
	}
	for _, m := range plan.Masked {
		if err := r.maskKey(ctx, m); err != nil {
			return r.changes, fmt.Errorf("database %s: key of the masks: %w", m.Database, err)
		}
	}
	for _, f := range plan.Foreign {
		if err := r.foreign(ctx, f); err != nil {
			return r.changes, fmt.Errorf("foreign server %s: %w", f.Name, err)
		}
	}
	return r.changes, nil
}

type run struct {
	config  *pgx.ConnConfig
	cfg     Config
	changes []string
}

func (r *run) changed(format string, args ...any) {
	r.changes = append(r.changes, fmt.Sprintf(format, args...))
}

func (r *run) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config := r.config.Copy()
	config.Database = database
	return pgx.ConnectConfig(ctx, config)
}

// role makes a role that has no right but those granted to it, and sets its
// password, limit, memberships and settings.
func (r *run) role(ctx context.Context, conn *pgx.Conn, role Role) error {
	var (
		plain    bool // without special rights
		limit    int
		verifier *string
		settings []string
		member   []string
	)
	const query = `
		SELECT r.rolcanlogin = $2 AND NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls),
		       r.rolconnlimit, r.rolpassword, coalesce(s.setconfig, '{}'),
		       ARRAY(SELECT pg_get_userbyid(roleid)::text FROM pg_auth_members WHERE member = r.oid)
		FROM pg_authid r
		LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
		WHERE r.rolname = $1`
	err := conn.QueryRow(ctx, query, role.Name, !role.Group).Scan(&plain, &limit, &verifier, &settings, &member)
	name := pgx.Identifier{role.Name}.Sanitize()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if _, err := conn.Exec(ctx, `CREATE ROLE `+name); err != nil {
			return err
		}
		r.changed("role %s made", role.Name)
	case err != nil:
		return err
	}
	if !plain {
		login := ` LOGIN`
		if role.Group {
			login = ` NOLOGIN`
		}
		if _, err := conn.Exec(ctx, `ALTER ROLE `+name+login+` NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS`); err != nil {
			return err
		}
		if role.Group { // one that could log in until now
			if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, role.Name); err != nil {
				return err
			}
		}
	}
	if limit != role.ConnectionLimit {
		if _, err := conn.Exec(ctx, `ALTER ROLE `+name+` CONNECTION LIMIT `+strconv.Itoa(role.ConnectionLimit)); err != nil {
			return err
		}
	}
	if err := r.memberships(ctx, conn, role, member); err != nil {
		return err
	}
	if role.Group {
		return nil
	}
	password, err := r.cfg.Password(role.Name)
	if err != nil {
		return err
	}
	if verifier == nil || !verifies(*verifier, password) {
		// The server gets the verifier, not the password: no statement log
		// can ever show it.
		v, err := newVerifier(password)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, `ALTER ROLE `+name+` PASSWORD '`+v+`'`); err != nil {
			return err
		}
		r.changed("role %s: password set", role.Name)
	}
	var want []string
	for _, setting := range slices.Sorted(maps.Keys(role.Settings)) {
		want = append(want, setting+"="+role.Settings[setting])
	}
	slices.Sort(settings)
	if slices.Equal(settings, want) {
		return nil
	}
	statements := []string{`ALTER ROLE ` + name + ` RESET ALL`}
	for setting, value := range role.Settings {
		statements = append(statements, `ALTER ROLE `+name+` SET `+setting+` = '`+value+`'`)
	}
	if err := inTransaction(ctx, conn, statements...); err != nil {
		return err
	}
	r.changed("role %s: settings set", role.Name)
	return nil
}

// memberships makes the role a member of those that it is to be one of, and of
// no others.
func (r *run) memberships(ctx context.Context, conn *pgx.Conn, role Role, have []string) error {
	name := pgx.Identifier{role.Name}.Sanitize()
	for _, group := range have {
		if slices.Contains(role.Member, group) {
			continue
		}
		if _, err := conn.Exec(ctx, `REVOKE `+pgx.Identifier{group}.Sanitize()+` FROM `+name); err != nil {
			return err
		}
		r.changed("role %s: no member of %s", role.Name, group)
	}
	for _, group := range role.Member {
		if slices.Contains(have, group) {
			continue
		}
		if _, err := conn.Exec(ctx, `GRANT `+pgx.Identifier{group}.Sanitize()+` TO `+name); err != nil {
			return err
		}
		r.changed("role %s: member of %s", role.Name, group)
	}
	return nil
}

// gone drops the roles of people who may not log in any more, and ends their sessions.
func (r *run) gone(ctx context.Context, conn *pgx.Conn, plan Plan) error {
	type member struct {
		Name string
		OID  uint32
	}
	rows, err := conn.Query(ctx, `
		SELECT m.rolname::text, m.oid FROM pg_auth_members a
		  JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
		 WHERE g.rolname = $1 ORDER BY 1`, plan.People)
	if err != nil {
		return err
	}
	members, err := pgx.CollectRows(rows, pgx.RowToStructByPos[member])
	if err != nil {
		return err
	}
	for _, m := range members {
		if slices.ContainsFunc(plan.Roles, func(role Role) bool { return role.Name == m.Name }) {
			continue
		}
		// In this order: a session that ends first could come back.
		if _, err := conn.Exec(ctx, `DROP ROLE `+pgx.Identifier{m.Name}.Sanitize()); err != nil {
			return fmt.Errorf("role %s: %w", m.Name, err)
		}
		if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = $1`, m.OID); err != nil {
			return fmt.Errorf("role %s: %w", m.Name, err)
		}
		r.changed("role %s dropped", m.Name)
	}
	return nil
}

// maskKey keeps the key in a table of its own, which Trino's role alone reads:
// in a rule of Trino's it would be printed with every plan.
func (r *run) maskKey(ctx context.Context, m Masked) error {
	key, err := r.cfg.MaskKey()
	if err != nil {
		return err
	}
	conn, err := r.connect(ctx, m.Database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	reader := pgx.Identifier{m.Reader}.Sanitize()
	schema := pgx.Identifier{policy.KeySchema}.Sanitize()
	table := pgx.Identifier{policy.KeySchema, policy.KeyTable}.Sanitize()
	column := pgx.Identifier{policy.KeyColumn}.Sanitize()
	if err := inTransaction(ctx, conn,
		`CREATE SCHEMA IF NOT EXISTS `+schema,
		`CREATE TABLE IF NOT EXISTS `+table+` (id boolean PRIMARY KEY DEFAULT true CHECK (id), `+column+` bytea NOT NULL)`,
		`COMMENT ON SCHEMA `+schema+` IS 'What Trino masks personal columns with; made by the bootstrap.'`,
		`COMMENT ON TABLE `+table+` IS 'Key of the hashes that are shown in place of personal data; one row.'`,
		`COMMENT ON COLUMN `+table+`.id IS 'Always true: there is one row.'`,
		`COMMENT ON COLUMN `+table+`.`+column+` IS 'The same in every domain, so that hashes can be joined.'`,
		`REVOKE ALL ON SCHEMA `+schema+` FROM PUBLIC`,
		`GRANT USAGE ON SCHEMA `+schema+` TO `+reader,
		`GRANT SELECT ON `+table+` TO `+reader,
	); err != nil {
		return err
	}
	tag, err := conn.Exec(ctx, `INSERT INTO `+table+` AS k (`+column+`) VALUES ($1)
		ON CONFLICT (id) DO UPDATE SET `+column+` = excluded.`+column+` WHERE k.`+column+` <> excluded.`+column, []byte(key))
	if err == nil && tag.RowsAffected() > 0 {
		r.changed("database %s: key of the masks set", m.Database)
	}
	return err
}

// database makes a database that belongs, with its schema public, to the owner.
func (r *run) database(ctx context.Context, conn *pgx.Conn, d Database) error {
	var owner string
	err := conn.QueryRow(ctx, `SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1`, d.Name).Scan(&owner)
	name, ownerName := pgx.Identifier{d.Name}.Sanitize(), pgx.Identifier{d.Owner}.Sanitize()
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+name+` OWNER `+ownerName); err != nil {
			return err
		}
		r.changed("database %s made", d.Name)
	case err != nil:
		return err
	case owner != d.Owner:
		if _, err := conn.Exec(ctx, `ALTER DATABASE `+name+` OWNER TO `+ownerName); err != nil {
			return err
		}
		r.changed("database %s given to %s", d.Name, d.Owner)
	}
	if err := r.connectors(ctx, conn, d); err != nil {
		return err
	}
	return r.schema(ctx, d)
}

// connectors makes the owner and d.Connect the only roles that may connect.
func (r *run) connectors(ctx context.Context, conn *pgx.Conn, d Database) error {
	// A database whose ACL was never touched has none, which stands for
	// acldefault: PUBLIC may connect and make temporary tables.
	const query = `
		SELECT coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'public'), bool_or(a.privilege_type = 'CONNECT')
		FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
		WHERE datname = $1 AND a.grantee <> datdba
		GROUP BY 1`
	rows, err := conn.Query(ctx, query, d.Name)
	if err != nil {
		return err
	}
	connects := map[string]bool{}
	var (
		role    string
		connect bool
	)
	if _, err := pgx.ForEachRow(rows, []any{&role, &connect}, func() error {
		connects[role] = connect
		return nil
	}); err != nil {
		return err
	}
	name := pgx.Identifier{d.Name}.Sanitize()
	for _, role := range slices.Sorted(maps.Keys(connects)) {
		if slices.Contains(d.Connect, role) {
			continue
		}
		grantee := "PUBLIC"
		if role != "public" {
			grantee = pgx.Identifier{role}.Sanitize()
		}
		if _, err := conn.Exec(ctx, `REVOKE ALL ON DATABASE `+name+` FROM `+grantee); err != nil {
			return err
		}
		r.changed("database %s: %s may not connect", d.Name, role)
	}
	for _, role := range d.Connect {
		if connects[role] {
			continue
		}
		if _, err := conn.Exec(ctx, `GRANT CONNECT ON DATABASE `+name+` TO `+pgx.Identifier{role}.Sanitize()); err != nil {
			return err
		}
		r.changed("database %s: %s may connect", d.Name, role)
	}
	return nil
}

// schema gives the schema public of a database to its owner; PUBLIC may not
// create in it, the connecting roles may use it.
func (r *run) schema(ctx context.Context, d Database) error {
	conn, err := r.connect(ctx, d.Name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var owner string
	if err := conn.QueryRow(ctx, `SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'`).Scan(&owner); err != nil {
		return err
	}
	statements := []string{`REVOKE CREATE ON SCHEMA public FROM PUBLIC`}
	if owner != d.Owner {
		statements = append(statements, `ALTER SCHEMA public OWNER TO `+pgx.Identifier{d.Owner}.Sanitize())
		r.changed("database %s: schema public given to %s", d.Name, d.Owner)
	}
	for _, role := range d.Connect {
		statements = append(statements, `GRANT USAGE ON SCHEMA public TO `+pgx.Identifier{role}.Sanitize())
	}
	if err := inTransaction(ctx, conn, statements...); err != nil {
		return err
	}
	for _, s := range d.Schemas {
		if err := r.furtherSchema(ctx, conn, d.Name, s); err != nil {
			return fmt.Errorf("schema %s: %w", s.Name, err)
		}
	}
	return nil
}

// furtherSchema makes a schema that belongs to one role, and sets who may use
// it and who may read what the role makes in it from now on.
func (r *run) furtherSchema(ctx context.Context, conn *pgx.Conn, database string, s Schema) error {
	name, owner := pgx.Identifier{s.Name}.Sanitize(), pgx.Identifier{s.Owner}.Sanitize()
	var statements []string
	var has string
	err := conn.QueryRow(ctx, `SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1`, s.Name).Scan(&has)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		statements = append(statements, `CREATE SCHEMA `+name+` AUTHORIZATION `+owner)
		r.changed("database %s: schema %s made", database, s.Name)
	case err != nil:
		return err
	case has != s.Owner:
		statements = append(statements, `ALTER SCHEMA `+name+` OWNER TO `+owner)
		r.changed("database %s: schema %s given to %s", database, s.Name, s.Owner)
	}
	// Who may use it, and who reads new tables, the owner left out.
	const query = `
		SELECT 'USAGE', coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'public')
		FROM pg_namespace n, aclexplode(n.nspacl) a
		WHERE n.nspname = $1 AND a.grantee <> n.nspowner
		UNION
		SELECT 'SELECT', coalesce(pg_get_userbyid(nullif(a.grantee, 0)), 'public')
		FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
		WHERE n.nspname = $1 AND d.defaclobjtype = 'r' AND pg_get_userbyid(d.defaclrole) = $2 AND a.grantee <> d.defaclrole`
	rows, err := conn.Query(ctx, query, s.Name, s.Owner)
	if err != nil {
		return err
	}
	type right struct{ what, role string }
	have := map[right]bool{}
	var got right
	if _, err := pgx.ForEachRow(rows, []any{&got.what, &got.role}, func() error {
		have[got] = true
		return nil
	}); err != nil {
		return err
	}
	want := map[right]bool{}
	for _, role := range s.Readers {
		want[right{"USAGE", role}] = true
	}
	for _, role := range s.TableReaders {
		want[right{"SELECT", role}] = true
	}
	tables := `ALTER DEFAULT PRIVILEGES FOR ROLE ` + owner + ` IN SCHEMA ` + name
	grant := map[string]string{"USAGE": `GRANT USAGE ON SCHEMA ` + name, "SELECT": tables + ` GRANT SELECT ON TABLES`}
	revoke := map[string]string{"USAGE": `REVOKE ALL ON SCHEMA ` + name, "SELECT": tables + ` REVOKE ALL ON TABLES`}
	byName := func(a, b right) int { return strings.Compare(a.what+a.role, b.what+b.role) }
	for _, x := range slices.SortedFunc(maps.Keys(have), byName) {
		if want[x] {
			continue
		}
		role := "PUBLIC"
		if x.role != "public" {
			role = pgx.Identifier{x.role}.Sanitize()
		}
		statements = append(statements, revoke[x.what]+` FROM `+role)
		r.changed("database %s, schema %s: no %s for %s", database, s.Name, x.what, x.role)
	}
	for _, x := range slices.SortedFunc(maps.Keys(want), byName) {
		if !have[x] {
			statements = append(statements, grant[x.what]+` TO `+pgx.Identifier{x.role}.Sanitize())
			r.changed("database %s, schema %s: %s for %s", database, s.Name, x.what, x.role)
		}
	}
	return inTransaction(ctx, conn, statements...)
}

// foreign lets a role of one database read another server. The tables are
// imported when they are needed (see ImportForeignTables): at this moment the
// other server may not have them yet.
func (r *run) foreign(ctx context.Context, f Foreign) error {
	host, port, password, err := r.cfg.Remote(f.Server, f.RemoteRole)
	if err != nil {
		return err
	}
	conn, err := r.connect(ctx, f.In)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	server := pgx.Identifier{f.Name}.Sanitize()
	as := pgx.Identifier{f.As}.Sanitize()
	serverOptions := []string{"host=" + host, "port=" + strconv.Itoa(port), "dbname=" + f.Database, "fetch_size=10000"}
	userOptions := []string{"user=" + f.RemoteRole, "password=" + password}

	var haveServer, haveUser []string
	const query = `
		SELECT coalesce(s.srvoptions, '{}'), coalesce(m.umoptions, '{}')
		FROM pg_foreign_server s
		LEFT JOIN pg_user_mapping m ON m.umserver = s.oid AND m.umuser = $2::regrole
		WHERE s.srvname = $1`
	err = conn.QueryRow(ctx, query, f.Name, as).Scan(&haveServer, &haveUser)
	if err == nil && slices.Equal(haveServer, serverOptions) && slices.Equal(haveUser, userOptions) {
		return nil
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	r.changed("database %s: foreign server %s set to %s", f.In, f.Name, f.Server)
	return inTransaction(ctx, conn,
		`CREATE EXTENSION IF NOT EXISTS postgres_fdw`,
		// Its tables go with it; the next demo imports them again.
		`DROP SERVER IF EXISTS `+server+` CASCADE`,
		`CREATE SERVER `+server+` FOREIGN DATA WRAPPER postgres_fdw OPTIONS (`+options(serverOptions)+`)`,
		`GRANT USAGE ON FOREIGN SERVER `+server+` TO `+as,
		`CREATE USER MAPPING FOR `+as+` SERVER `+server+` OPTIONS (`+options(userOptions)+`)`,
		`CREATE SCHEMA IF NOT EXISTS `+server+` AUTHORIZATION `+as,
	)
}

// options writes name=value pairs as an OPTIONS list.
func options(pairs []string) string {
	var list []string
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		list = append(list, name+` '`+strings.ReplaceAll(value, `'`, `''`)+`'`)
	}
	return strings.Join(list, ", ")
}

// ImportForeignTables makes the foreign tables of the verify database anew from
// what the domains' tables look like now. conn is connected to that database
// as the role that reads.
func ImportForeignTables(ctx context.Context, conn *pgx.Conn) error {
	statements := []string{fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, lock)}
	for _, schema := range slices.Sorted(maps.Keys(ForeignTables)) {
		tables := ForeignTables[schema]
		for _, table := range tables {
			statements = append(statements, `DROP FOREIGN TABLE IF EXISTS `+schema+`.`+table)
		}
		statements = append(statements, `IMPORT FOREIGN SCHEMA public LIMIT TO (`+strings.Join(tables, ", ")+
			`) FROM SERVER `+schema+` INTO `+schema)
	}
	if err := inTransaction(ctx, conn, statements...); err != nil {
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == "08001" {
			return fmt.Errorf("import foreign tables: a domain's database cannot be reached: %w", err)
		}
		return fmt.Errorf("import foreign tables: %w", err)
	}
	return nil
}

func inTransaction(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}
