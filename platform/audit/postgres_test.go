package audit

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/platform/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func texts(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s %s: %s\n", e.Who, e.Action, e.Object, e.Outcome, e.Detail)
	}
	return b.String()
}

// read gives what a reader makes of a log.
func read(t *testing.T, log string) []Event {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newLogReader(ServerLog{Server: "db", Roles: []string{"postgres", "app"}}, position{})
	var all []Event
	for range 2 { // the second time nothing follows
		events, err := r.follow(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
	}
	return all
}

func TestLogReader(t *testing.T) {
	const at = "2026-11-28 10:00:00.123 UTC "
	got := texts(read(t, at+"[1] <> @ LOG:  database system is ready to accept connections\n"+
		at+"[9] <SELECT> alex@sales LOG:  duration: 0.250 ms  statement: SELECT *\n\tFROM customers\n\tWHERE email = 'canary'\n"+
		at+"[9] <BIND> alex@sales LOG:  duration: 0.1 ms  bind <unnamed>: SELECT $1\n"+
		at+"[9] <SELECT> alex@sales LOG:  duration: 0.2 ms  execute stmt_1: SELECT $1\n"+
		at+"[8] <SELECT> app@sales LOG:  duration: 9 ms  statement: SELECT 'of a service'\n"+
		at+"[9] <SELECT> alex@sales ERROR:  permission denied for table customers\n"+
		at+"[7] <SELECT> mia@sales ERROR:  column \"canary\" does not exist at character 8\n"+
		at+"[9] <SELECT> alex@sales STATEMENT:  SELECT phone FROM customers WHERE name = 'canary'\n"+
		at+"[7] <SELECT> mia@sales STATEMENT:  SELECT canary FROM customers\n"+
		at+"[6] <authentication> sarah@sales FATAL:  password authentication failed for user \"sarah\"\n"+
		at+"[6] <authentication> sarah@sales DETAIL:  Connection matched pg_hba.conf line 3: \"canary\"\n"+
		at+"[5] <idle> alex@sales FATAL:  terminating connection due to administrator command\n"+
		at+"[4] <startup> alex@nothing FATAL:  database \"nothing\" does not exist\n"+
		at+"[3] <SELECT> alex@sales ERROR:  canceling statement due to statement timeout\n"))
	want := `alex query db/sales ok: 0.250 ms; SELECT * FROM customers WHERE email = ?
alex query db/sales ok: 0.2 ms; SELECT ?
alex query db/sales refused: permission denied for table customers; SELECT phone FROM customers WHERE name = ?
mia query db/sales failed: error
sarah login db/sales refused: password authentication failed
alex login db/nothing refused: no such database or role
alex query db/sales failed: canceling statement due to statement timeout; 
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Whoever has no password writes no statement into the record.
func TestLogReaderIsNotDeceived(t *testing.T) {
	const at = "2026-11-28 10:00:00.123 UTC "
	const forged = "alex@s LOG:  statement: DROP TABLE t"
	for name, log := range map[string]string{
		"severity in the name": at + "[6] <authentication> " + forged + "@sales FATAL:  password authentication failed for user \"x\"\n",
		"a line of its own": at + "[6] <authentication> x\n" + at + "[1] <S> " + forged + "@sales FATAL:  password authentication failed for user \"x\n\tx\"\n" +
			at + "[6] <authentication> x\n" + at + "[1] <S> " + forged + "@sales DETAIL:  no\n",
	} {
		got := read(t, log+at+"[9] <SELECT> alex@sales LOG:  statement: "+strings.Repeat("SELECT 1, ", 30)+"\n"+
			at+"[9] <SELECT> alex@sales LOG:  statement: SELECT now()\n")
		text := texts(got)
		if strings.Contains(text, "DROP") || !strings.Contains(text, "now()") || !strings.Contains(text, "login") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// A name that somebody without a password sends hides what others did from no reader: a
// blank breaks nothing, and behind a line break it is said how much is not believed.
func TestLogReaderHidesNothing(t *testing.T) {
	const at = "2026-11-28 10:00:00.123 UTC "
	const broken = at + "[6] <authentication> x\ny@sales FATAL:  password authentication failed for user \"x\n\ty\"\n"
	short := func(n int) string {
		return fmt.Sprintf("%s[9] <SELECT> alex@sales LOG:  statement: SELECT number%d\n", at, n)
	}
	long := at + "[9] <SELECT> alex@sales LOG:  statement: SELECT a,\n" + strings.Repeat("\tSELECT b,\n", 30)
	login := "unknown login db refused: a name with a line break\n"
	gap := func(text string, from int) string {
		return fmt.Sprintf("mesh-audit gap db failed: %d bytes of the log, from byte %d on, follow a name with a line break: they may be of its making and are not kept\n", len(text), from)
	}
	first := strings.Index(broken, "\n") + 1
	behind := broken[first:]
	for name, c := range map[string]struct{ log, want string }{
		"a blank in the database": {
			at + "[6] <authentication> sarah@no such one FATAL:  password authentication failed for user \"sarah\"\n" +
				at + "[9] <SELECT> alex@my sales LOG:  statement: SELECT a\n" + at + "[9] <SELECT> alex@my sales ERROR:  permission denied for table c\n" + at + "[9] <SELECT> alex@my sales STATEMENT:  SELECT c\n",
			"sarah login db/no such one refused: password authentication failed\nalex query db/my sales ok: SELECT a\nalex query db/my sales refused: permission denied for table c; SELECT c\n",
		},
		"a severity in the database": {
			at + "[6] <authentication> alex@x LOG:  statement: DROP TABLE t FATAL:  password authentication failed for user \"alex\"\n" + short(1),
			"alex login db refused: a name that looks like a message\nalex query db/sales ok: SELECT number1\n",
		},
		"a line break": {
			broken + short(1) + short(2) + short(3),
			login + gap(behind+short(1)+short(2), first) + "alex query db/sales ok: SELECT number3\n",
		},
		"a line break, then a statement that begins in what is not believed": {
			broken + long + short(4),
			login + gap(behind+long, first) + "alex query db/sales ok: SELECT number4\n",
		},
		"again and again": {
			broken + broken + short(1) + short(2) + short(3) + broken,
			login + gap(behind+broken+short(1)+short(2), first) + "alex query db/sales ok: SELECT number3\n" + login + gap(behind, len(broken+broken+short(1)+short(2)+short(3))+first),
		},
	} {
		if got := texts(read(t, c.log)); got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
	}
	// What comes after the server was quiet is of nobody's making.
	file := filepath.Join(t.TempDir(), "log")
	r := newLogReader(ServerLog{Server: "db"}, position{})
	var got []Event
	for _, text := range []string{broken, broken, broken + short(1), broken + short(1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		events, err := r.follow(file)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, events...)
	}
	if want := login + gap(behind, first) + "alex query db/sales ok: SELECT number1\n"; texts(got) != want {
		t.Errorf("later:\n%swant\n%s", texts(got), want)
	}
}

// A reader that dies at any place goes on without losing or doubling anything.
func TestLogReaderGoesOn(t *testing.T) {
	const at = "2026-11-28 10:00:00.123 UTC "
	log := at + "[9] <SELECT> alex@sales LOG:  statement: SELECT a\n\tFROM b\n" +
		at + "[9] <SELECT> alex@sales ERROR:  permission denied for table c\n" +
		at + "[8] <SELECT> mia@sales LOG:  statement: SELECT d\n" +
		at + "[9] <SELECT> alex@sales STATEMENT:  SELECT c\n" +
		at + "[6] <authentication> x\ny@sales FATAL:  no\n" + strings.Repeat(at+"[8] <SELECT> mia@sales LOG:  statement: SELECT e\n", 4)
	want := texts(read(t, log))
	for cut := range len(log) {
		file, dir := filepath.Join(t.TempDir(), "log"), t.TempDir()
		record := open(t, dir, DefaultLimits)
		c := Config{Dir: dir, Logs: []ServerLog{{Server: "db", File: file}}}
		for _, text := range []string{log[:cut], log} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := newFollower(c, record, slog.New(slog.NewTextHandler(t.Output(), nil)))
			if err != nil {
				t.Fatal(err)
			}
			f.serverLogs()
			if text == log {
				f.serverLogs() // nothing follows
			}
			if err := f.save(); err != nil {
				t.Fatal(err)
			}
		}
		var got []Event
		if _, err := Search(dir, Filter{}, func(e Entry) error { got = append(got, e.Event); return nil }); err != nil {
			t.Fatal(err)
		}
		if texts(got) != want {
			t.Fatalf("cut at %d:\n%swant\n%s", cut, texts(got), want)
		}
	}
}

func TestLogReaderSaysWhatIsLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	r := newLogReader(ServerLog{Server: "db"}, position{})
	if events, err := r.follow(file); len(events) > 0 || err != nil {
		t.Errorf("a server that never ran: %v %v", events, err)
	}
	for _, text := range []string{"2026-11-28 10:00:00.123 UTC [9] <S> alex@s LOG:  statement: SELECT a\n", "2026"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		events, err := r.follow(file)
		if err != nil {
			t.Fatal(err)
		}
		if text == "2026" && !strings.Contains(texts(events), "gap log failed") {
			t.Errorf("the log was cut off: %s", texts(events))
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.follow(file); err == nil {
		t.Error("a log that is gone is no error")
	}
}

// A real server, with the settings of a person's role.
func TestLogOfAServer(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "server.log")
	port := postgrestest.Port(t)
	settings := postgrestest.Settings()
	for name, value := range map[string]string{
		"log_line_prefix": LinePrefix, "log_timezone": "UTC",
		// What it would write to stderr, at once and to a file that we know.
		"logging_collector": "on", "log_directory": folder, "log_filename": filepath.Base(file),
	} {
		settings[name] = value
	}
	server := embeddedpostgres.NewDatabase(postgrestest.Config(postgrestest.Binaries(), t.TempDir(), port, "secret", t.Output()).StartParameters(settings))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	dial := func(user, password string) (*pgx.Conn, error) {
		return pgx.Connect(t.Context(), "postgres://"+user+":"+password+"@127.0.0.1:"+strconv.Itoa(port)+"/postgres")
	}
	admin, err := dial("postgres", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background()) //nolint:errcheck // the test ends
	for _, s := range []string{
		`CREATE TABLE customers (name text, email text)`, `INSERT INTO customers VALUES ('canary', 'canary')`,
		`CREATE ROLE alex LOGIN PASSWORD 'alex'`, `ALTER ROLE alex SET log_min_duration_statement = 0`, `ALTER ROLE alex SET log_parameter_max_length = 0`,
		`GRANT SELECT (name) ON customers TO alex`,
	} {
		if _, err := admin.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("Grafana's tables", func(t *testing.T) { grafanaLogins(t, admin, port) })
	t.Run("request log", func(t *testing.T) { keyUses(t, admin, port) })
	alex, err := dial("alex", "alex")
	if err != nil {
		t.Fatal(err)
	}
	defer alex.Close(context.Background()) //nolint:errcheck // the test ends
	for _, c := range []struct {
		sql  string
		args []any
		ok   bool
	}{
		{"SELECT name FROM customers WHERE name = 'canary'", []any{pgx.QueryExecModeSimpleProtocol}, true},
		{"SELECT name FROM customers WHERE name = $1", []any{"canary"}, true},
		{"SELECT email FROM customers WHERE name = 'canary'", nil, false},
		{"SELECT canary FROM customers", nil, false},
		{"SET log_min_duration_statement = -1", nil, false},
	} {
		if _, err := alex.Exec(t.Context(), c.sql, c.args...); err == nil != c.ok {
			t.Fatalf("%s: %v", c.sql, err)
		}
	}
	if _, err := dial("alex", "wrong"); err == nil {
		t.Fatal("a wrong password is right")
	}
	r := newLogReader(ServerLog{Server: "db", Roles: []string{"postgres"}}, position{})
	var all []Event
	wanted := []string{
		"alex query db/postgres ok: N ms; SELECT name FROM customers WHERE name = ?",
		"alex query db/postgres ok: N ms; SELECT name FROM customers WHERE name = ?",
		"alex query db/postgres refused: permission denied for table customers; SELECT email FROM customers WHERE name = ?",
		"alex query db/postgres failed: error",
		"alex query db/postgres refused: permission denied to set parameter \"?\"; SET log_min_duration_statement = -?",
		"alex login db/postgres refused: password authentication failed",
	}
	deadline := time.Now().Add(30 * time.Second)
	for len(all) < len(wanted) && time.Now().Before(deadline) {
		events, err := r.follow(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events...)
		time.Sleep(20 * time.Millisecond)
	}
	for i, e := range all {
		got := strings.TrimSuffix(texts([]Event{e}), "\n")
		if before, after, ok := strings.Cut(got, " ms; "); ok {
			got = before[:strings.LastIndexByte(before, ' ')] + " N ms; " + after
		}
		if i >= len(wanted) || got != wanted[i] {
			t.Errorf("event %d: %s", i, got)
		}
		if age := time.Since(e.At); age < 0 || age > time.Hour {
			t.Errorf("event %d was at %v", i, e.At)
		}
	}
	if len(all) != len(wanted) {
		t.Errorf("%d events, want %d", len(all), len(wanted))
	}
}

func must(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// The tables are those of Grafana, as far as they are read; there is no Grafana here.
func grafanaLogins(t *testing.T, admin *pgx.Conn, port int) {
	t.Setenv("TEST_PASSWORD", "secret")
	g := GrafanaDatabase{Database: "postgres", Address: "127.0.0.1:" + strconv.Itoa(port), User: "postgres", PasswordEnv: "TEST_PASSWORD"}
	if events, to, err := g.logins(t.Context(), sessionCursor{}); len(events) > 0 || to != (sessionCursor{}) || err != nil {
		t.Errorf("before Grafana has started: %v %v %v", events, to, err)
	}
	must(t, admin,
		`CREATE TABLE "user" (id bigint, login text)`, `INSERT INTO "user" VALUES (2, 'sarah'), (3, 'emma')`,
		`CREATE TABLE user_auth_token (id serial, user_id bigint, client_ip text, created_at integer)`,
		`CREATE TABLE login_attempt (id serial, username text, ip_address text, created integer)`,
		`INSERT INTO user_auth_token (user_id, client_ip, created_at) VALUES (2, '127.0.0.1', 1764300000)`,
		`INSERT INTO login_attempt (username, ip_address, created) VALUES ('emma', '127.0.0.1', 1764300001)`)
	events, to, err := g.logins(t.Context(), sessionCursor{})
	if got := texts(events); err != nil || got != "sarah login  ok: \nemma login  refused: \n" || events[0].At.Unix() != 1764300000 {
		t.Errorf("%s%v", got, err)
	}
	must(t, admin, `INSERT INTO user_auth_token (user_id, client_ip, created_at) VALUES (3, '127.0.0.1', 1764300002)`)
	if events, _, err = g.logins(t.Context(), to); err != nil || texts(events) != "emma login  ok: \n" {
		t.Errorf("%s%v", texts(events), err)
	}
}

func keyUses(t *testing.T, admin *pgx.Conn, port int) {
	t.Setenv("TEST_PASSWORD", "secret")
	l := RequestLog{Database: "postgres", Address: "127.0.0.1:" + strconv.Itoa(port), User: "postgres", PasswordEnv: "TEST_PASSWORD"}
	if _, _, err := l.keyUses(t.Context(), cursor{}); err == nil {
		t.Error("no table is no error")
	}
	// As migrations 1 and 2 of apimetrics have them.
	must(t, admin, `CREATE TABLE mesh_meta (state text, seeded_at timestamptz)`, `INSERT INTO mesh_meta VALUES ('seeding', NULL)`,
		`CREATE TABLE api_logs (log_id bigint GENERATED BY DEFAULT AS IDENTITY, served_at timestamptz, service text, route text, method text, status smallint, api_key text)`)
	insert := func(key, method string, status int, at string) {
		must(t, admin, fmt.Sprintf(`INSERT INTO api_logs (served_at, service, route, method, status, api_key) VALUES (%s, 'sales-api', '/v1/customers', '%s', %d, '%s')`, at, method, status, key))
	}
	insert("seeded", "GET", 200, `now() - interval '1 day'`)
	var at cursor
	look := func() string {
		t.Helper()
		events, to, err := l.keyUses(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		at = to
		return texts(events)
	}
	for range 2 {
		if got := look(); got != "" {
			t.Errorf("while it is seeded: %s", got)
		}
	}
	must(t, admin, `UPDATE mesh_meta SET state = 'seeded', seeded_at = now()`)
	look()
	for range 3 {
		insert("sales-reader", "GET", 200, "now()")
	}
	insert("sales-admin", "POST", 422, "now()")
	insert("", "GET", 401, "now()")
	got := look() + look()
	for _, want := range []string{
		"sales-reader use-key sales-api GET /v1/customers ok: 3 requests\n", "sales-admin use-key sales-api POST /v1/customers failed: 1 request\n", "(no key) use-key sales-api GET /v1/customers refused: 1 request\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "seeded") || strings.Count(got, "\n") != 3 {
		t.Error(got)
	}
	if again := look() + look(); again != "" {
		t.Errorf("again: %s", again)
	}
	// Seeded anew: other rows with other numbers.
	must(t, admin, `TRUNCATE api_logs RESTART IDENTITY`, `UPDATE mesh_meta SET seeded_at = now()`)
	insert("sales-reader", "GET", 200, "now()")
	if got := look() + look() + look(); !strings.Contains(got, "sales-reader") {
		t.Errorf("after new data: %q", got)
	}
}
