package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	columns = []Column{
		{"customer_id", "bigint"}, {"name", "varchar"}, {"name", "varchar"}, {"revenue", "decimal(14,2)"},
		{"score", "double"}, {"active", "boolean"}, {"created_at", "timestamp(6) with time zone"}, {"tags", "array(varchar)"}, {"on", "row"},
	}
	rows = [][]any{
		{int64(1), "Ann", "plain", json.Number("12.50"), 0.1, true, "2026-11-01 00:00:00.000000 UTC", []any{"a", "b"}, Object{{"x", int64(1)}, {"y", nil}}},
		{int64(math.MaxInt64), `O"Brien, "Pat"`, "two\nlines", json.Number("-999999999999.99"), math.NaN(), false, nil, []any{}, nil},
		{int64(math.MinInt64), "", " blanks ", json.Number("0.00"), math.Inf(-1), nil, nil, nil, nil},
		{nil, "Zoë <&> 東京", "\x1b[31mred\x7f\u0085", nil, 1e300, nil, nil, []any{nil, `"`, json.Number("1.10")}, nil},
		{int64(0), "tab\there", "\r", json.Number("1"), 1000000.0, true, nil, nil, nil},
	}
)

func render(t *testing.T, format string, columns []Column, rows [][]any) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(format, &b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Header(columns); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct {
		columns []Column
		rows    [][]any
	}{
		"all":     {columns, rows},
		"no-rows": {columns[:2], nil},
		"one":     {columns[1:2], [][]any{{"a"}, {nil}, {""}}},
		"nothing": {nil, nil},
	} {
		for _, format := range Formats {
			t.Run(name+" "+format, func(t *testing.T) {
				got := render(t, format, c.columns, c.rows)
				golden := filepath.Join("testdata", name+"."+format)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// A reader of JSON gets every digit back.
func TestJSONIsExact(t *testing.T) {
	d := json.NewDecoder(strings.NewReader(render(t, "json", columns, rows)))
	d.UseNumber()
	var got []map[string]any
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d objects, want %d", len(got), len(rows))
	}
	for i, want := range []string{"12.50", "-999999999999.99", "0.00"} {
		if got[i]["revenue"] != json.Number(want) {
			t.Errorf("revenue %v, want %s", got[i]["revenue"], want)
		}
	}
	if got[1]["customer_id"] != json.Number("9223372036854775807") {
		t.Errorf("customer_id %v", got[1]["customer_id"])
	}
	if got[0]["name"] != "Ann" || got[0]["name_2"] != "plain" {
		t.Errorf("columns of one name: %v, %v", got[0]["name"], got[0]["name_2"])
	}
}

// A long table is written as it comes, with the widths of its beginning.
func TestTableStreams(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter("table", &b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Header(columns[:1]); err != nil {
		t.Fatal(err)
	}
	for i := range 20 * widthRows {
		if err := w.Row([]any{int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() == 0 {
		t.Error("nothing was written before the end")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(b.String(), "\n"), 20*widthRows+2; got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
}

type brokenPipe struct{}

var errBroken = errors.New("nobody reads")

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestWritersTellThatNobodyReads(t *testing.T) {
	for _, format := range Formats {
		w, err := NewWriter(format, brokenPipe{})
		if err != nil {
			t.Fatal(err)
		}
		err = w.Header(columns[:1])
		for i := 0; i < 100_000 && err == nil; i++ {
			err = w.Row([]any{int64(i)})
		}
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v", format, err)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := NewWriter("xml", nil); err == nil || !strings.Contains(err.Error(), "table, csv, json, yaml") {
		t.Errorf("got %v, want the formats", err)
	}
}
