package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go"

	"github.com/datameesh/datameesh/platform/postgrestest"
	"github.com/datameesh/datameesh/platform/state"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"crm": "", "a": "", "crm_2": "", strings.Repeat("x", 31): "",
		"": "cannot be", "Crm": "cannot be", "2crm": "cannot be", "c-rm": "cannot be", "crm.x": "cannot be", "../x": "cannot be", "crm\n": "cannot be", strings.Repeat("x", 32): "cannot be",
		"system": "itself", "sales": "already",
	} {
		err := CheckName(name, []string{"sales"})
		if _, ok := errors.AsType[*InvalidError](err); want == "" && err != nil || want != "" && (!ok || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestParsePostgres(t *testing.T) {
	for url, want := range map[string]state.PostgresSource{
		"postgres://reader@crm.example:5433/crm":              {Address: "crm.example:5433", Database: "crm", User: "reader", SSLMode: "prefer"},
		"postgresql://r@127.0.0.1/crm?sslmode=disable":        {Address: "127.0.0.1:5432", Database: "crm", User: "r", SSLMode: "disable"},
		"postgres://r.x@example-1:5432/my-db?sslmode=require": {Address: "example-1:5432", Database: "my-db", User: "r.x", SSLMode: "require"},
		"postgres://r@[::1]:5432/crm":                         {Address: "[::1]:5432", Database: "crm", User: "r", SSLMode: "prefer"},
	} {
		if got, err := ParsePostgres(url); err != nil || got != want {
			t.Errorf("%s: %+v %v", url, got, err)
		}
	}
	for url, want := range map[string]string{
		"":                                 "not a URL",
		"crm.example/crm":                  "not a URL",
		"mysql://r@crm/crm":                "not a URL",
		"postgres://r:" + "geheim@crm/crm": "password",
		"postgres://r:@crm/crm":            "password",
		"postgres://crm/crm":               "user",
		"postgres://r@crm":                 "database",
		"postgres://r@crm/a/b":             "database",
		"postgres://r@crm/a%3Fx=y":         "database",
		"postgres://r@/crm":                "host",
		"postgres://r@crm:0/crm":           "port",
		"postgres://r@crm:99999/crm":       "port",
		"postgres://r@crm/crm?options=x":   "nothing else",
		"postgres://r@crm/crm?sslmode=no":  "sslmode",
		"postgres://r@crm/crm#x":           "#x",
		"postgres://${ENV:X}@crm/crm":      "",
		"postgres://r@crm/${ENV:PASSWORD}": "database",
		"postgres://r%0Ax@crm/crm":         "user",
		"postgres://r@crm,other/crm":       "host",
	} {
		_, err := ParsePostgres(url)
		if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for s, want := range map[string]string{
		"s3://datalake/analytics/weather/": "analytics/weather/", "analytics/weather": "analytics/weather/", "/a/": "a/",
		"s3://datalake/": "", "": "", "s3://other/x/": "", "a/../b": "", "..": "", "a//b": "", "a'b": "", "s3://datalake": "",
	} {
		if got, err := ParsePrefix(s, "datalake"); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", s, got, err, want)
		}
	}
}

func TestCheckPassword(t *testing.T) {
	for password, ok := range map[string]bool{
		"a b'ç\"$x": true, strings.Repeat("x", 1000): true,
		"": false, "a\nb": false, "a\x00": false, "${ENV:PATH}": false, strings.Repeat("x", 1001): false,
	} {
		if err := CheckPassword(password); err == nil != ok {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

func TestReadColumns(t *testing.T) {
	type row struct {
		ID      int64              `parquet:"ID"`
		Small   int8               `parquet:"small"`
		Count   uint32             `parquet:"count"`
		Name    string             `parquet:"name"`
		Maybe   *string            `parquet:"maybe,optional"`
		Raw     []byte             `parquet:"raw"`
		Price   int64              `parquet:"price,decimal(2:14)"`
		Day     int32              `parquet:"day,date"`
		At      time.Time          `parquet:"at,timestamp(microsecond)"`
		Ratio   float64            `parquet:"ratio"`
		Half    float32            `parquet:"half"`
		Yes     bool               `parquet:"yes"`
		Tags    []string           `parquet:"tags,list"`
		Weights map[string]float64 `parquet:"weights"`
		Place   struct {
			City string `parquet:"city"`
		} `parquet:"place"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write(make([]row, 3)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	columns, rows, err := ReadColumns(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range columns {
		got[c.Name] = c.Type
	}
	for name, want := range map[string]string{
		"id": "bigint", "small": "tinyint", "count": "bigint", "name": "varchar", "maybe": "varchar", "raw": "varbinary", "price": "decimal(14, 2)",
		"day": "date", "at": "timestamp(6)", "ratio": "double", "half": "real", "yes": "boolean",
		"tags": "array(varchar)", "weights": "map(varchar, double)", "place": `row("city" varchar)`,
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	if rows != 3 || len(columns) != 15 {
		t.Errorf("%d rows, %d columns", rows, len(columns))
	}
	for name, text := range map[string][]byte{"no Parquet": []byte("id,name\n1,ann\n"), "nothing": nil, "cut off": b.Bytes()[:b.Len()-20], "half": append([]byte("PAR1"), []byte("\xff\xff\xff\x7fPAR1")...)} {
		if _, _, err := ReadColumns(bytes.NewReader(text), int64(len(text))); err == nil || !strings.Contains(err.Error(), "not a Parquet file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreate(t *testing.T) {
	table := Table{Name: "weather", Folder: "analytics/weather/", Columns: []Column{{"id", "bigint"}, {`a"b`, "varchar"}}}
	const want = `CREATE TABLE "w"."files"."weather" ("id" bigint, "a""b" varchar) WITH (external_location = 's3://datalake/analytics/weather/', format = 'PARQUET')`
	if got := table.Create("w", "files", "datalake"); got != want {
		t.Error(got)
	}
}

func TestCheckPostgres(t *testing.T) {
	port := postgrestest.Port(t)
	server := embeddedpostgres.NewDatabase(postgrestest.Config(postgrestest.Binaries(), t.TempDir(), port, "secret", t.Output()))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	address := "127.0.0.1:" + strconv.Itoa(port)
	admin, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres:%s@%s/postgres", "secret", address))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background()) //nolint:errcheck // the test ends
	for _, s := range []string{`CREATE TABLE deals (id int)`, `CREATE TABLE hidden (id int)`, `CREATE ROLE reader LOGIN PASSWORD 'pass word'`, `CREATE ROLE nobody LOGIN PASSWORD 'x'`, `GRANT SELECT ON deals TO reader`} {
		if _, err := admin.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ user, database, password, want string }{
		{"reader", "postgres", "pass word", ""},
		{"reader", "postgres", "wrong", "password authentication failed"},
		{"reader", "nothing", "pass word", `database "nothing" does not exist`},
		{"nobody", "postgres", "x", "may read no table"},
	} {
		found, err := CheckPostgres(t.Context(), state.PostgresSource{Address: address, Database: c.database, User: c.user, SSLMode: "prefer"}, c.password)
		if c.want == "" {
			if err != nil || strings.Join(found.Tables, ",") != "public.deals" || found.Superuser {
				t.Errorf("%s: %+v %v", c.user, found, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), c.password+"@") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if found, err := CheckPostgres(t.Context(), state.PostgresSource{Address: address, Database: "postgres", User: "postgres", SSLMode: "disable"}, "secret"); err != nil || !found.Superuser {
		t.Errorf("superuser: %+v %v", found, err)
	}
	_, err = CheckPostgres(t.Context(), state.PostgresSource{Address: "127.0.0.1:" + strconv.Itoa(postgrestest.Port(t)), Database: "x", User: "x", SSLMode: "disable"}, "x")
	if _, ok := errors.AsType[*UnreachableError](err); !ok || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}
