package query

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	trinoclient "github.com/trinodb/trino-go-client/trino"
	"golang.org/x/text/width"
)

// An Object is a value of type row or map: fields in order.
type Object []Field

// A Field of an Object.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON writes the fields in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(appendJSON(nil, f.Name))
		b.WriteByte(':')
		b.Write(appendJSON(nil, f.Value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// typeName writes a column's type as SQL does.
func typeName(t *sql.ColumnType) string {
	name := strings.ToLower(t.DatabaseTypeName())
	if precision, scale, ok := t.DecimalSize(); ok {
		if name == "decimal" {
			return fmt.Sprintf("decimal(%d,%d)", precision, scale)
		}
		// "timestamp with time zone" has its precision in the middle.
		word, rest, _ := strings.Cut(name, " ")
		return strings.TrimSpace(fmt.Sprintf("%s(%d) %s", word, precision, rest))
	}
	// The driver gives a varchar without limit the largest number as length.
	if length, ok := t.Length(); ok && length < math.MaxInt32 {
		return fmt.Sprintf("%s(%d)", name, length)
	}
	return name
}

// value turns what the driver gives into one of the types that Rows.Values
// documents.
func value(v any, typ string) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(typ, "decimal") {
			return json.Number(v)
		}
		return v
	case time.Time:
		return timeText(v, typ)
	case []byte:
		return hex.EncodeToString(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = value(v[i], "")
		}
		return list
	case map[string]any:
		var o Object
		for k, e := range v {
			o = append(o, Field{k, value(e, "")})
		}
		slices.SortFunc(o, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
		return o
	case trinoclient.Row:
		o := make(Object, v.Len())
		for i := range o {
			o[i] = Field{v.Name(i), value(v.Value(i), "")}
		}
		return o
	default: // nil, bool, int64, float64; json.Number inside arrays and maps
		return v
	}
}

// timeText writes a date or time as Trino does, with the digits of the type.
func timeText(t time.Time, typ string) string {
	layout := "2006-01-02 15:04:05"
	switch {
	case typ == "date":
		return t.Format(time.DateOnly)
	case strings.HasPrefix(typ, "time("):
		layout = "15:04:05"
	}
	digits := 9 // what the driver keeps
	if _, rest, ok := strings.Cut(typ, "("); ok {
		number, _, _ := strings.Cut(rest, ")")
		if n, err := strconv.Atoi(number); err == nil {
			digits = min(n, digits)
		}
	}
	if digits > 0 {
		layout += "." + strings.Repeat("0", digits)
	}
	text := t.Format(layout)
	if !strings.HasSuffix(typ, "with time zone") && typ != "" {
		return text
	}
	zone := t.Location().String()
	if zone == "" || zone == "Local" { // an offset without a name
		return text + t.Format(" -07:00")
	}
	return text + " " + zone
}

// Text writes a value as a cell of a table or CSV has it; NULL is up to the caller.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return float(v)
	default:
		return string(appendJSON(nil, v))
	}
}

// float writes the shortest text that reads back as the same number.
func float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21):
		// YAML takes 1e+300 for a text, 1.0e+300 for a number.
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	default:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
}

// appendJSON writes a value as JSON. Integers and decimals keep all their
// digits; NaN and the infinities, which JSON has no numbers for, are strings.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case json.Number:
		return append(b, v...)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(append(append(b, '"'), float(v)...), '"')
		}
		return append(b, float(v)...)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case Object:
		o, _ := v.MarshalJSON() // never fails
		return append(b, o...)
	case string:
		return appendString(b, v)
	default:
		return appendString(b, fmt.Sprint(v))
	}
}

// appendString writes a JSON string, without the escapes that json.Marshal
// makes for HTML.
func appendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	// A string can always be encoded.
	_ = e.Encode(s)
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// printable makes a text harmless for a terminal: what would move the cursor or
// change colours is written as an escape. Tabs stay if wanted.
func printable(s string, tabs bool) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) || tabs && r == '\t' {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// cells is how many cells of a terminal a printable text takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r): // drawn over the one before
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
