package query

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Formats that NewWriter knows.
var Formats = []string{"table", "csv", "json", "yaml"}

// A Writer writes a result.
type Writer interface {
	// Header comes first.
	Header([]Column) error
	// Row has a value per column; see Rows.Values.
	Row([]any) error
	// Close ends the result. It does not close what is written to.
	Close() error
}

// NewWriter makes a writer of one of the Formats.
//
//   - table: for people; NULL is written as NULL, numbers to the right, control
//     characters as escapes.
//   - csv: RFC 4180 with line feeds, one header row. NULL is an empty field, an
//     empty text is "". A NULL in a result of one column is "" as well, since
//     readers skip empty lines.
//   - json: a list of objects, a line each. Integers and decimals are numbers
//     with all their digits, dates, times and bytes are strings, NULL is null.
//   - yaml: a list of mappings, values as in JSON.
//
// In json and yaml, columns of one name become name, name_2 and so on.
func NewWriter(format string, w io.Writer) (Writer, error) {
	b := bufio.NewWriterSize(w, 64<<10)
	switch format {
	case "table":
		return &table{w: b}, nil
	case "csv":
		return &csv{w: b}, nil
	case "json":
		return &jsonList{w: b}, nil
	case "yaml":
		return &yamlList{w: b}, nil
	}
	return nil, fmt.Errorf("unknown output format %q; choose one of %s", format, strings.Join(Formats, ", "))
}

// widthRows is how many rows a table waits for to learn the width of its
// columns; a longer result is written as it comes.
const widthRows = 1000

type table struct {
	w       *bufio.Writer
	columns []Column
	widths  []int
	waiting [][]string
	started bool
}

func (t *table) Header(columns []Column) error {
	t.columns = columns
	for _, c := range columns {
		t.widths = append(t.widths, cells(printable(c.Name, false)))
	}
	return nil
}

func (t *table) Row(values []any) error {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = "NULL"
		if v != nil {
			row[i] = printable(Text(v), false)
		}
	}
	if t.started {
		return t.line(row)
	}
	for i, c := range row {
		t.widths[i] = max(t.widths[i], cells(c))
	}
	t.waiting = append(t.waiting, row)
	if len(t.waiting) == widthRows {
		return t.start()
	}
	return nil
}

// start writes the header and the rows that waited.
func (t *table) start() error {
	t.started = true
	if len(t.columns) == 0 {
		return nil
	}
	names := make([]string, len(t.columns))
	rule := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = printable(c.Name, false)
		rule[i] = strings.Repeat("-", t.widths[i]+2)
	}
	if err := t.line(names); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(t.w, strings.Join(rule, "+")); err != nil {
		return err
	}
	for _, row := range t.waiting {
		if err := t.line(row); err != nil {
			return err
		}
	}
	t.waiting = nil
	return nil
}

func (t *table) line(row []string) error {
	var b strings.Builder
	for i, c := range row {
		if i > 0 {
			b.WriteString(" |")
		}
		pad := strings.Repeat(" ", max(t.widths[i]-cells(c), 0))
		b.WriteByte(' ')
		if numeric(t.columns[i].Type) {
			b.WriteString(pad + c)
		} else {
			b.WriteString(c + pad)
		}
	}
	_, err := fmt.Fprintln(t.w, strings.TrimRight(b.String(), " "))
	return err
}

func (t *table) Close() error {
	if !t.started {
		if err := t.start(); err != nil {
			return err
		}
	}
	return t.w.Flush()
}

func numeric(typ string) bool {
	switch typ, _, _ := strings.Cut(typ, "("); typ {
	case "tinyint", "smallint", "integer", "bigint", "real", "double", "decimal":
		return true
	}
	return false
}

type csv struct{ w *bufio.Writer }

func (c *csv) Header(columns []Column) error {
	names := make([]any, len(columns))
	for i, column := range columns {
		names[i] = column.Name
	}
	return c.Row(names)
}

func (c *csv) Row(values []any) error {
	if len(values) == 0 {
		return nil
	}
	var b []byte
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if v == nil {
			if len(values) == 1 {
				b = append(b, `""`...)
			}
			continue
		}
		s := Text(v)
		if s == "" || strings.ContainsAny(s, ",\"\r\n") || s[0] == ' ' || s[len(s)-1] == ' ' {
			s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		b = append(b, s...)
	}
	_, err := c.w.Write(append(b, '\n'))
	return err
}

func (c *csv) Close() error { return c.w.Flush() }

type jsonList struct {
	w    *bufio.Writer
	keys []string
	rows int
}

func (l *jsonList) Header(columns []Column) error {
	for _, name := range uniqueNames(columns) {
		l.keys = append(l.keys, string(appendString(nil, name)))
	}
	_, err := l.w.WriteString("[")
	return err
}

func (l *jsonList) Row(values []any) error {
	var b []byte
	if l.rows > 0 {
		b = append(b, ',')
	}
	l.rows++
	b = append(b, "\n  {"...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, l.keys[i]...)
		b = append(b, ": "...)
		b = appendJSON(b, v)
	}
	_, err := l.w.Write(append(b, '}'))
	return err
}

func (l *jsonList) Close() error {
	end := "]\n"
	if l.rows > 0 {
		end = "\n]\n"
	}
	if _, err := l.w.WriteString(end); err != nil {
		return err
	}
	return l.w.Flush()
}

type yamlList struct {
	w    *bufio.Writer
	keys []string
	rows int
}

// plainKey is a mapping key that no version of YAML reads as anything but text.
var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var yamlWords = []string{"y", "n", "yes", "no", "true", "false", "on", "off", "null"}

func (l *yamlList) Header(columns []Column) error {
	for _, name := range uniqueNames(columns) {
		if !plainKey.MatchString(name) || slices.Contains(yamlWords, strings.ToLower(name)) {
			name = string(yamlValue(name))
		}
		l.keys = append(l.keys, name)
	}
	return nil
}

func (l *yamlList) Row(values []any) error {
	l.rows++
	var b []byte
	for i, v := range values {
		lead := "  "
		if i == 0 {
			lead = "- "
		}
		// JSON's values are YAML's in its flow style.
		b = fmt.Appendf(b, "%s%s: %s\n", lead, l.keys[i], yamlValue(v))
	}
	_, err := l.w.Write(b)
	return err
}

// yamlValue writes a value as JSON, but for characters that YAML wants escaped
// and JSON does not.
func yamlValue(v any) []byte {
	b := appendJSON(nil, v)
	if bytes.IndexFunc(b, unprintableInYAML) < 0 {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if unprintableInYAML(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func unprintableInYAML(r rune) bool {
	return r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0xfeff || r == 0xfffe || r == 0xffff
}

func (l *yamlList) Close() error {
	if l.rows == 0 {
		if _, err := l.w.WriteString("[]\n"); err != nil {
			return err
		}
	}
	return l.w.Flush()
}

// uniqueNames are the names of columns; one that came before gets a number.
func uniqueNames(columns []Column) []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		name := c.Name
		for n := 2; slices.Contains(names, name); n++ {
			name = fmt.Sprintf("%s_%d", c.Name, n)
		}
		names = append(names, name)
	}
	return names
}
