package rest

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// appendJSON appends what json.Marshal writes for a resource or a page of
// resources. Structs of texts, numbers, times and amounts, which is what
// resources are, are written field by field without what makes json.Marshal
// slow: checking and copying what each MarshalJSON gives. Everything else is
// left to json.Marshal.
func appendJSON(text []byte, value any) ([]byte, error) {
	if page, ok := value.(list); ok {
		items := reflect.ValueOf(page.Items)
		if write := writerOf(items.Type().Elem()); write != nil {
			return appendPage(text, items, page.NextCursor, write)
		}
	}
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Struct {
		if write := writerOf(v.Type()); write != nil {
			addressable := reflect.New(v.Type()).Elem()
			addressable.Set(v)
			return write(text, addressable)
		}
	}
	plain, err := json.Marshal(value)
	return append(text, plain...), err
}

func appendPage(text []byte, items reflect.Value, cursor string, write writer) (_ []byte, err error) {
	text = append(text, `{"items":[`...)
	for i := range items.Len() {
		if i > 0 {
			text = append(text, ',')
		}
		if text, err = write(text, items.Index(i)); err != nil {
			return nil, err
		}
	}
	text = append(text, ']')
	if cursor != "" {
		text = append(text, `,"next_cursor":`...)
		text = appendString(text, cursor)
	}
	return append(text, '}'), nil
}

// A writer appends the JSON of an addressable value of its type.
type writer func(text []byte, v reflect.Value) ([]byte, error)

// writers of struct types; nil for those that are left to json.Marshal.
var writers sync.Map // of reflect.Type to writer

func writerOf(kind reflect.Type) writer {
	if known, ok := writers.Load(kind); ok {
		return known.(writer)
	}
	w := makeWriter(kind)
	writers.Store(kind, w)
	return w
}

// An appender writes itself as a JSON number, as money.Amount does.
type appender interface{ Append([]byte) []byte }

func makeWriter(kind reflect.Type) writer {
	_, marshals := reflect.New(kind).Interface().(json.Marshaler)
	_, writesText := reflect.New(kind).Interface().(encoding.TextMarshaler)
	if kind.Kind() != reflect.Struct || marshals || writesText {
		return nil
	}
	type field struct {
		name  string // with what comes before and after it: `,"email":`
		index int
		write writer
	}
	var fields []field
	for i := range kind.NumField() {
		f := kind.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		write := fieldWriter(f.Type)
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" || options != "" || write == nil {
			return nil
		}
		before := ","
		if len(fields) == 0 {
			before = "{"
		}
		fields = append(fields, field{string(append(appendString([]byte(before), name), ':')), i, write})
	}
	if fields == nil {
		return nil
	}
	return func(text []byte, v reflect.Value) (_ []byte, err error) {
		for i := range fields {
			text = append(text, fields[i].name...)
			if text, err = fields[i].write(text, v.Field(fields[i].index)); err != nil {
				return nil, err
			}
		}
		return append(text, '}'), nil
	}
}

func fieldWriter(kind reflect.Type) writer {
	pointer := reflect.New(kind).Interface()
	_, marshals := pointer.(json.Marshaler)
	_, writesText := pointer.(encoding.TextMarshaler)
	_, appends := pointer.(appender)
	switch {
	case kind == reflect.TypeFor[time.Time]():
		return func(text []byte, v reflect.Value) ([]byte, error) {
			return appendTime(text, v.Addr().Interface().(*time.Time))
		}
	case marshals && appends:
		return func(text []byte, v reflect.Value) ([]byte, error) {
			return v.Addr().Interface().(appender).Append(text), nil
		}
	case kind.Kind() == reflect.Pointer:
		element := fieldWriter(kind.Elem())
		if element == nil {
			return nil
		}
		return func(text []byte, v reflect.Value) ([]byte, error) {
			if v.IsNil() {
				return append(text, "null"...), nil
			}
			return element(text, v.Elem())
		}
	case marshals, writesText:
		return nil
	}
	switch kind.Kind() {
	case reflect.String:
		return func(text []byte, v reflect.Value) ([]byte, error) { return appendString(text, v.String()), nil }
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16:
		return func(text []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(text, v.Int(), 10), nil }
	case reflect.Bool:
		return func(text []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(text, v.Bool()), nil }
	}
	return nil
}

// appendTime writes a time as RFC 3339; what that cannot write is an error. Times
// of the database are UTC and written digit by digit: with the table plain that
// takes a quarter of the time of a page away.
func appendTime(text []byte, t *time.Time) ([]byte, error) {
	year, month, day := t.Date()
	if t.Location() != time.UTC || year < 0 || year > 9999 {
		text, err := t.AppendText(append(text, '"'))
		return append(text, '"'), err
	}
	hour, minute, second := t.Clock()
	text = append(text, '"')
	text = appendTwo(appendTwo(text, year/100), year%100)
	text = appendTwo(append(text, '-'), int(month))
	text = appendTwo(append(text, '-'), day)
	text = appendTwo(append(text, 'T'), hour)
	text = appendTwo(append(text, ':'), minute)
	text = appendTwo(append(text, ':'), second)
	if fraction := t.Nanosecond(); fraction != 0 {
		text = append(text, '.')
		for place := 100_000_000; fraction > 0; place /= 10 {
			text = append(text, '0'+byte(fraction/place))
			fraction %= place
		}
	}
	return append(text, 'Z', '"'), nil
}

// appendTwo writes a number below 100 with two digits.
func appendTwo(text []byte, n int) []byte { return append(text, '0'+byte(n/10), '0'+byte(n%10)) }

// plain are the bytes that stand in JSON as they are, and as json.Marshal writes
// them: not those that mean something to HTML.
var plain = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return is
}()

// appendString writes text that needs no escaping as it is.
func appendString(text []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			escaped, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string is always written
			}
			return append(text, escaped...)
		}
	}
	text = append(text, '"')
	text = append(text, s...)
	return append(text, '"')
}
