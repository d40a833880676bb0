package database_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/money"
	"github.com/datameesh/datameesh/services/internal/pgtest"
)

// A thing has a field of each kind that the domains have.
type thing struct {
	ID      int64
	Name    string
	Price   money.Amount
	Made    time.Time
	Score   int
	Note    *string
	Retired *time.Time
}

const thingColumns = `id, name, price, made, score, note, retired`

// things gives a connection to a table of things.
func things(t *testing.T) *pgx.Conn {
	t.Helper()
	conn := pgtest.New(t, pgtest.Schema{Owner: "sales_owner", App: "sales_app", Migrations: fstest.MapFS{
		"000001_create_things.up.sql": {Data: []byte(`
			CREATE TABLE things (id bigint, name text, price numeric(14, 2), made timestamptz, score smallint, note text, retired timestamptz, anything numeric)`)},
		"000001_create_things.down.sql": {Data: []byte(`DROP TABLE things`)},
	}}).Connect(t, "sales_owner")
	if _, err := conn.Exec(t.Context(), `
		INSERT INTO things VALUES
			(1, 'Ada', 12.34, '2026-11-23 08:30:00.123456Z', 7, 'a note', '2026-11-24Z'),
			(-9223372036854775808, '', -999999999999.99, '0001-01-01Z', -32768, NULL, NULL),
			(9223372036854775807, 'Zoë „quoted“ 世界', 0, '294276-12-31 23:59:59.999999Z', 32767, '', '1999-12-31 23:59:59.5Z'),
			(4, 'Eve', 10000.01, '1969-12-31 23:59:59.999999Z', 0, 'x', NULL)`); err != nil {
		t.Fatal(err)
	}
	return conn
}

func scanThing() pgx.RowToFunc[thing] {
	var x thing
	return database.Scanner(&x, &x.ID, &x.Name, &x.Price, &x.Made, &x.Score, &x.Note, &x.Retired)
}

// A watched row counts how often it is scanned by pgx.
type watched struct {
	pgx.CollectableRow
	scanned *int
}

func (w watched) Scan(fields ...any) error {
	*w.scanned++
	return w.CollectableRow.Scan(fields...)
}

// Rows are what pgx makes of them, whether decoded from their binary form or,
// when the server sends text, left to pgx.
func TestScannerReadsWhatPgxReads(t *testing.T) {
	conn := things(t)
	rows, _ := conn.Query(t.Context(), `SELECT `+thingColumns+` FROM things`)
	want, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (x thing, err error) {
		err = row.Scan(&x.ID, &x.Name, &x.Price, &x.Made, &x.Score, &x.Note, &x.Retired)
		return x, err
	})
	if err != nil || len(want) != 4 {
		t.Fatalf("%d rows, error %v", len(want), err)
	}
	for name, options := range map[string][]any{
		"binary": nil,
		"text":   {pgx.QueryExecModeSimpleProtocol},
	} {
		rows, _ := conn.Query(t.Context(), `SELECT `+thingColumns+` FROM things`, options...)
		scan, leftToPgx := scanThing(), 0
		got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (thing, error) {
			return scan(watched{row, &leftToPgx})
		})
		if want := map[string]int{"binary": 0, "text": 4}[name]; leftToPgx != want {
			t.Errorf("%s: %d rows were left to pgx, want %d", name, leftToPgx, want)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What has no place in a field is pgx's error, never a zero.
func TestScannerRefusesWhatHasNoPlace(t *testing.T) {
	conn := things(t)
	for _, column := range []string{
		"NULL::bigint, name, price, made, score, note, retired",
		"id, NULL::text, price, made, score, note, retired",
		"id, name, NULL::numeric, made, score, note, retired",
		"id, name, 0.005, made, score, note, retired",
		"id, name, 'NaN'::numeric, made, score, note, retired",
		"id, name, price, NULL::timestamptz, score, note, retired",
		"id, name, price, 'infinity'::timestamptz, score, note, retired",
		"id, name, price, made, NULL::smallint, note, retired",
		"id, name, price, made, score, note, '-infinity'::timestamptz",
		"id, name, price, made, score, note",
	} {
		rows, _ := conn.Query(t.Context(), `SELECT `+column+` FROM things`)
		if got, err := pgx.CollectRows(rows, scanThing()); err == nil {
			t.Errorf("%s is read as %+v", column, got)
		}
	}
}
