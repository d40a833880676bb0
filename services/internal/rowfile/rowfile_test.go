package rowfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

type thing struct {
	Name string `json:"name"`
	More
}

// More is embedded, as in the types of the domains.
type More struct {
	Count int8 `json:"count"`
}

// read gives each row as "LINE VALUE" or "LINE what is wrong: TEXT".
func read(t *testing.T, in io.Reader, format Format) (rows []string) {
	t.Helper()
	r, err := New[thing](in, format)
	if err != nil {
		return []string{err.Error()}
	}
	for {
		row, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rows
		case err != nil:
			return append(rows, err.Error())
		case row.Err != nil:
			rows = append(rows, fmt.Sprintf("%d %v: %.30q", row.Line, row.Err, row.Text))
		default:
			rows = append(rows, fmt.Sprintf("%d %s=%d", row.Line, row.Value.Name, row.Value.Count))
		}
	}
}

func TestRows(t *testing.T) {
	long := strings.Repeat("x", 3*MaxRow)
	for name, c := range map[string]struct {
		format Format
		text   string
		want   []string
	}{
		"csv":                 {CSV, "name,count\na,1\r\nb,2", []string{"2 a=1", "3 b=2"}},
		"other order":         {CSV, "count,name\n1,a\n", []string{"2 a=1"}},
		"byte order mark":     {CSV, "\xef\xbb\xbfname,count\na,1\n", []string{"2 a=1"}},
		"blank lines":         {CSV, "\n\nname\n\na\r\n\r\nb\n\n", []string{"5 a=0", "7 b=0"}},
		"quoted":              {CSV, "name,count\n\"a, \"\"b\"\"\nc\",1\nd,2\n", []string{"2 a, \"b\"\nc=1", "4 d=2"}},
		"empty cells":         {CSV, "name,count\n,\n\"\",\"\"\n", []string{"2 =0", "3 =0"}},
		"formulas stay":       {CSV, "name\n=cmd()\n+1\n", []string{"2 =cmd()=0", "3 +1=0"}},
		"header only":         {CSV, "name", nil},
		"no header":           {CSV, "", []string{"the header row is wrong: the file is empty"}},
		"unknown column":      {CSV, "name,size\n", []string{`the header row is wrong: column 2 ("size") is none of name, count`}},
		"column twice":        {CSV, "name,name\n", []string{"the header row is wrong: column name stands there twice"}},
		"open header":         {CSV, "\"name\n", []string{"the header row is wrong: it has a quotation mark that is never closed"}},
		"too few cells":       {CSV, "name,count\na\nb,2\n", []string{`2 has 1 cells; the header row has 2: "a"`, "3 b=2"}},
		"quote in a cell":     {CSV, "name\na\"b\nc\n", []string{`2 ` + string(errQuote) + `: "a\"b"`, "3 c=0"}},
		"quote after a cell":  {CSV, "name\n\"a\"b\nc\n", []string{`2 ` + string(errQuote) + `: "\"a\"b"`, "3 c=0"}},
		"return after a cell": {CSV, "name\n\"a\"\rb\nc\n", []string{`2 ` + string(errQuote) + `: "\"a\"\rb"`, "3 c=0"}},
		"never closed":        {CSV, "name\n\"a\nb\nc\n", []string{`2 has a quotation mark that is never closed: "\"a"`, "3 b=0", "4 c=0"}},
		"closed by the next":  {CSV, "name\n\"a\nb\n\"c\"\nd\n", []string{`2 ` + string(errQuote) + `: "\"a"`, "3 b=0", "4 c=0", "5 d=0"}},
		"open for long":       {CSV, "name\n\"a\n" + strings.Repeat("b\n", MaxLines), append([]string{`2 has a quotation mark that is never closed: "\"a"`}, numbered(3, MaxLines)...)},
		"open and long":       {CSV, "name\n\"a\n" + long[:MaxRow-20] + "\n" + long[:40] + "\nb\n", []string{`2 has a quotation mark that is never closed: "\"a"`, fmt.Sprintf("3 %s=0", long[:MaxRow-20]), fmt.Sprintf("4 %s=0", long[:40]), "5 b=0"}},
		"long":                {CSV, "name\n" + long + "\nb\n", []string{fmt.Sprintf("2 %v: %.30q", errLong, long), "3 b=0"}},
		"long last":           {CSV, "name\nb\n" + long, []string{"2 b=0", fmt.Sprintf("3 %v: %.30q", errLong, long)}},
		"long in quotes":      {CSV, "name\n\"" + long + "\"\nb\n", []string{fmt.Sprintf("2 %v: %.30q", errLong, `"`+long), "3 b=0"}},
		"not a number":        {CSV, "count\nx\n200\n1\n", []string{`2 422 invalid_body: The request body has 1 invalid field.: "x"`, `3 422 invalid_body: The request body has 1 invalid field.: "200"`, "4 =1"}},
		"not UTF-8":           {CSV, "name\na\xff\x00b\nc\n", []string{`2 is not UTF-8 text: "a` + "\uFFFD\uFFFD" + `b"`, "3 c=0"}},
		"ndjson":              {NDJSON, "{\"name\":\"a\",\"count\":1}\r\n\n{}", []string{"1 a=1", "3 =0"}},
		"empty ndjson":        {NDJSON, "", nil},
		"bad ndjson":          {NDJSON, "{\n{\"name\":\"b\"}\n[]\n{\"x\":1}\n\"\n", []string{`1 400 malformed_request: The text ends in the middle of a JSON value.: "{"`, "2 b=0", `3 422 invalid_body: The request body has 1 invalid field.: "[]"`, `4 422 invalid_body: The request body has 1 invalid field.: "{\"x\":1}"`, `5 400 malformed_request: The text ends in the middle of a JSON value.: "\""`}},
		"ndjson not UTF-8":    {NDJSON, "{\"name\":\"\xff\"}\n", []string{`1 is not UTF-8 text: "{\"name\":\"` + "\uFFFD" + `\"}"`}},
	} {
		if diff := cmp.Diff(c.want, read(t, strings.NewReader(c.text), c.format)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.want, read(t, iotest.OneByteReader(strings.NewReader(c.text)), c.format)); diff != "" {
			t.Errorf("%s, byte by byte (-want +got):\n%s", name, diff)
		}
	}
}

func numbered(from, count int) (rows []string) {
	for i := range count {
		rows = append(rows, fmt.Sprintf("%d b=0", from+i))
	}
	return rows
}

func TestRequiredColumns(t *testing.T) {
	_, err := New[thing](strings.NewReader("name\n"), CSV, "count")
	if !errors.Is(err, ErrHeader) || !strings.Contains(err.Error(), "count is missing") {
		t.Errorf("got %v", err)
	}
}

// A body that is cut off is not taken for a whole one.
func TestErrorsOfTheFileAreGiven(t *testing.T) {
	broken := errors.New("broken")
	for _, format := range []Format{CSV, NDJSON} {
		got := read(t, io.MultiReader(strings.NewReader("name"), iotest.ErrReader(broken)), format)
		if len(got) != 1 || got[0] != "broken" {
			t.Errorf("%s: got %q", format, got)
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	r, err := New[thing](strings.NewReader("name\n"+strings.Repeat("abcdefgh\n", 10)+"abcdefghijklmnop\nlast\n"), CSV)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for {
		rows, err := r.Batch(4, 20)
		sizes = append(sizes, len(rows))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int{3, 3, 3, 2, 1}, sizes); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
}

// The sum after a batch is that of the same rows when they are skipped, and of
// no others.
func TestSkipComesToTheSameSum(t *testing.T) {
	text := "name\na\n\"b\nb\"\n" + strings.Repeat("x", 2*MaxRow) + "\nc\n\"d\n\n"
	sums := map[int64]string{}
	whole, err := New[thing](strings.NewReader(text), CSV)
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, err := whole.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sums[row.Line] = string(whole.Sum())
	}
	sums[-1] = string(whole.Sum())
	if len(sums) != 6 {
		t.Fatalf("%d rows", len(sums)-1)
	}
	for line := int64(-1); line < 10; line++ {
		r, err := New[thing](strings.NewReader(text), CSV)
		if err != nil {
			t.Fatal(err)
		}
		found, err := r.Skip(line)
		if _, is := sums[line]; err != nil || found != is || found && string(r.Sum()) != sums[line] {
			t.Errorf("line %d: found %v, error %v, or another sum", line, found, err)
		}
	}
	for _, other := range []string{"name\nA\n", "name\r\na\n", "name,count\na\n"} {
		r, err := New[thing](strings.NewReader(other), CSV)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Skip(2); err != nil || string(r.Sum()) == sums[2] {
			t.Errorf("%q has the sum of another file, error %v", other, err)
		}
	}
}

// lines is a file of n lines that is nowhere in memory.
type lines struct {
	n    int
	rest string
}

func (l *lines) Read(p []byte) (int, error) {
	if l.rest == "" {
		if l.n == 0 {
			return 0, io.EOF
		}
		l.n--
		l.rest = "{\"name\":\"somebody with a name of some length\"}\n"
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	r, err := New[thing](&lines{n: 200_000}, NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for {
		rows, err := r.Batch(1000, 1<<20)
		count += len(rows)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if count%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
				t.Fatalf("after %d rows the heap has grown by %d bytes", count, grown)
			}
		}
	}
	if count != 200_000 {
		t.Errorf("%d rows", count)
	}
}

// For every text: no line is lost or given twice, and where encoding/csv reads
// a row, so do we, as the same cells.
func FuzzRows(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, format := range []Format{CSV, NDJSON} {
			r, err := New[thing](io.MultiReader(strings.NewReader("name\n"), bytes.NewReader(text)), format)
			if err != nil {
				t.Fatal(err)
			}
			last := int64(0)
			for {
				row, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || row.Line <= last || row.Line > int64(bytes.Count(text, []byte("\n")))+2 || len(row.Text) > 3*MaxRow {
					t.Fatalf("line %d after line %d, %d bytes, error %v", row.Line, last, len(row.Text), err)
				}
				last = row.Line
				if strings.Contains(row.Text, "\x00") {
					t.Fatalf("%q holds a zero byte", row.Text)
				}
			}
		}
		theirs := csv.NewReader(bytes.NewReader(text))
		theirs.FieldsPerRecord = -1
		want, err := theirs.ReadAll()
		if err != nil || len(text) > MaxRow || bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) || bytes.Count(text, []byte("\n")) > MaxLines || !bytes.Equal(text, bytes.ToValidUTF8(text, nil)) {
			return
		}
		ours := &Reader[thing]{in: bytes.NewReader(text), format: CSV, buffer: make([]byte, 2*MaxRow), sum: newSum(CSV)}
		var got [][]string
		for {
			row, _, err := ours.record()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v; encoding/csv reads %q", row, err, want)
			}
			cells, err := split(row, nil)
			if err != nil {
				t.Fatalf("%q: %v; encoding/csv reads %q", row, err, want)
			}
			for i := range cells {
				cells[i] = strings.ReplaceAll(cells[i], "\r\n", "\n") // encoding/csv does so
			}
			got = append(got, cells)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("encoding/csv reads something else (-theirs +ours):\n%s", diff)
		}
	})
}
