package rowfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/datameesh/datameesh/services/internal/jsonbody"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// Where a scanner stands in a CSV row.
const (
	atStart    = iota // of a cell
	bare              // in a cell without quotation marks
	quoted            // in a cell with them
	quotedMark        // after a quotation mark in such a cell: its end or the first half of ""
	ending            // after a carriage return behind such a cell
	wrong
)

// A scanner finds the end of a CSV row.
type scanner struct {
	state int
	lines int // line ends inside quotation marks
}

func (s *scanner) step(c byte) {
	switch {
	case s.state == wrong:
	case s.state == quoted:
		switch c {
		case '"':
			s.state = quotedMark
		case '\n':
			s.lines++
		}
	case c == '"' && s.state == atStart, c == '"' && s.state == quotedMark:
		s.state = quoted
	case c == '\n', c == ',' && s.state != ending:
		s.state = atStart
	case c == '\r' && s.state == quotedMark:
		s.state = ending
	case c == '"', s.state == quotedMark, s.state == ending:
		s.state = wrong
	default:
		s.state = bare
	}
}

// split gives the cells of a CSV row, in the memory of cells when it suffices.
func split(row []byte, cells []string) ([]string, error) {
	if !utf8.Valid(row) {
		return nil, errNotUTF8
	}
	cells = cells[:0]
	for {
		if len(row) == 0 || row[0] != '"' {
			cell, rest, more := bytes.Cut(row, []byte(","))
			if bytes.IndexByte(cell, '"') >= 0 {
				return nil, errQuote
			}
			cells = append(cells, string(cell))
			if !more {
				return cells, nil
			}
			row = rest
			continue
		}
		end := 1
		for {
			mark := bytes.IndexByte(row[end:], '"')
			if mark < 0 {
				return nil, errOpen
			}
			end += mark + 1
			if end == len(row) || row[end] != '"' {
				break
			}
			end++
		}
		cells = append(cells, strings.ReplaceAll(string(row[1:end-1]), `""`, `"`))
		if end == len(row) {
			return cells, nil
		}
		if row[end] != ',' {
			return nil, errQuote
		}
		row = row[end+1:]
	}
}

// parse reads the text of one row into value.
func (r *Reader[T]) parse(text []byte, value *T) (err error) {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	if r.format == NDJSON {
		return jsonbody.Unmarshal(text, value)
	}
	if r.cells, err = split(text, r.cells); err != nil {
		return err
	}
	if len(r.cells) != len(r.header) {
		return rowError(fmt.Sprintf("has %d cells; the header row has %d", len(r.cells), len(r.header)))
	}
	wrong := map[string]string{}
	into := reflect.ValueOf(value).Elem()
	for i, cell := range r.cells {
		if detail := set(into.FieldByIndex(r.fields[i]), cell); detail != "" {
			wrong["/"+r.header[i]] = detail
		}
	}
	if len(wrong) > 0 {
		return problem.Invalid(wrong)
	}
	return nil
}

// set gives the field the value of a cell; an empty cell leaves it as it is. It
// says what is wrong with the cell.
func set(field reflect.Value, cell string) string {
	switch {
	case cell == "":
	case field.Kind() == reflect.String:
		field.SetString(cell)
	case field.CanInt():
		n, err := strconv.ParseInt(cell, 10, field.Type().Bits())
		if err != nil {
			return "must be a whole number"
		}
		field.SetInt(n)
	default:
		if err := json.Unmarshal([]byte(cell), field.Addr().Interface()); err != nil {
			return "cannot be read"
		}
	}
	return ""
}

// columns gives the names of T's fields in JSON.
func columns[T any]() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		if !field.Anonymous {
			names = append(names, nameOf(field))
		}
	}
	return names
}

// fieldsOf gives where in T the fields with the names lie.
func fieldsOf[T any](names []string) [][]int {
	places := map[string][]int{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		places[nameOf(field)] = field.Index
	}
	list := make([][]int, len(names))
	for i, name := range names {
		list[i] = places[name]
	}
	return list
}

func nameOf(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
