// Package rowfile reads the rows of a CSV or NDJSON file one by one, whatever is wrong with some of them.
//
// A row that cannot be read is given with what is wrong with it and the reader
// goes on with the next line: one bad row costs no other. Memory does not grow
// with the file.
package rowfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Format says how rows are written.
type Format string

// The formats: RFC 4180 with a header row; one JSON object a line (ndjson.org).
const (
	CSV    Format = "csv"
	NDJSON Format = "ndjson"
)

// Limits of one row.
const (
	MaxRow   = 64 << 10 // bytes
	MaxLines = 100      // of a CSV row with line ends in quotes
	// Kept is how many bytes are kept of a row that is longer than MaxRow.
	Kept = 1 << 10
)

// ErrHeader says that a CSV file's header row does not fit; the rows after it
// would all be read wrongly.
var ErrHeader = errors.New("the header row is wrong")

// A Row is one row of a file.
type Row[T any] struct {
	// Line is the number of the row's first line in the file, from 1.
	Line int64
	// Text is the row as it stands there, without its line end. What PostgreSQL
	// cannot keep (zero bytes, what is no UTF-8) is U+FFFD in it.
	Text  string
	Value T
	// Err says why Value does not hold the row; a *problem.Problem when it names fields.
	Err error
}

// A Reader reads the rows of one file as values of T, a struct with json tags.
type Reader[T any] struct {
	in     io.Reader
	format Format
	header []string
	fields [][]int // where in T each column of the header belongs

	buffer     []byte // what was read and not yet consumed is buffer[start:end]
	start, end int
	ended      error // why nothing more comes: io.EOF or the error of in
	line       int64 // lines consumed
	sum        hash.Hash
	cells      []string // of the row before, for its memory
}

// New makes a reader of in. A CSV file must begin with a header row that names
// fields of T, among them the required ones; else the error is ErrHeader. Errors
// of in are given as they are.
func New[T any](in io.Reader, format Format, required ...string) (*Reader[T], error) {
	r := &Reader[T]{in: in, format: format, buffer: make([]byte, 2*MaxRow), sum: newSum(format)}
	if err := r.fill(3); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(r.rest(), []byte("\xef\xbb\xbf")) { // spreadsheets write a byte order mark
		r.consume(3)
	}
	if format != CSV {
		return r, nil
	}
	text, _, err := r.record()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the file is empty", ErrHeader)
	}
	var bad rowError
	if errors.As(err, &bad) {
		return nil, fmt.Errorf("%w: it %w", ErrHeader, err)
	}
	if err != nil {
		return nil, err
	}
	if r.header, err = split(text, nil); err != nil {
		return nil, fmt.Errorf("%w: it %w", ErrHeader, err)
	}
	if err := checkHeader[T](r.header, required); err != nil {
		return nil, err
	}
	r.fields = fieldsOf[T](r.header)
	return r, nil
}

func newSum(format Format) hash.Hash {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", format)
	return sum
}

func checkHeader[T any](header, required []string) error {
	known := columns[T]()
	for i, name := range header {
		switch {
		case !slices.Contains(known, name):
			return fmt.Errorf("%w: column %d (%.50q) is none of %s", ErrHeader, i+1, name, strings.Join(known, ", "))
		case slices.Contains(header[:i], name):
			return fmt.Errorf("%w: column %s stands there twice", ErrHeader, name)
		}
	}
	for _, name := range required {
		if !slices.Contains(header, name) {
			return fmt.Errorf("%w: column %s is missing", ErrHeader, name)
		}
	}
	return nil
}

// Header gives the names of a CSV file's columns; nil for another format.
func (r *Reader[T]) Header() []string { return r.header }

// Sum gives the SHA-256 of the format and of everything up to the end of the
// last row that was given; after io.EOF that of the whole file.
func (r *Reader[T]) Sum() []byte { return r.sum.Sum(nil) }

// Next gives the next row, io.EOF after the last. Blank lines are no rows.
// After any error but io.EOF what was read so far is not the whole file.
func (r *Reader[T]) Next() (row Row[T], err error) {
	text, line, err := r.record()
	row.Line = line
	var bad rowError
	switch {
	case errors.As(err, &bad):
		row.Err = err
	case err != nil:
		return row, err
	default:
		row.Err = r.parse(text, &row.Value)
	}
	row.Text = printable(text)
	return row, nil
}

// Batch gives the next rows: count of them, or fewer that fill size bytes. The
// error is io.EOF when they are the last.
func (r *Reader[T]) Batch(count, size int) (rows []Row[T], err error) {
	for len(rows) < count {
		row, err := r.Next()
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
		if size -= len(row.Text); size <= 0 {
			break
		}
	}
	return rows, nil
}

// Skip passes over the rows up to the one at line, and over all for a negative
// line. It says whether there is such a row.
func (r *Reader[T]) Skip(line int64) (found bool, err error) {
	for {
		_, at, err := r.record()
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			return line < 0, nil
		case err != nil && !errors.As(err, &bad):
			return false, err
		case line >= 0 && at >= line:
			return at == line, nil
		}
	}
}

// Parse reads the text of one row of a file with the header, which may name
// fields of T only.
func Parse[T any](format Format, header []string, text string) (value T, err error) {
	r := Reader[T]{format: format, header: header, fields: fieldsOf[T](header)}
	err = r.parse([]byte(text), &value)
	return value, err
}

// A rowError is what is wrong with one row; the reader goes on with the next line.
type rowError string

func (e rowError) Error() string { return string(e) }

const (
	errNotUTF8 = rowError("is not UTF-8 text")
	errQuote   = rowError(`has a quotation mark where none may stand; write it "" and put the cell in quotation marks`)
	errOpen    = rowError("has a quotation mark that is never closed")
)

var errLong = rowError(fmt.Sprintf("is longer than %d bytes; only its beginning is kept", MaxRow))

// record consumes the next row and gives its text, which is valid until the
// next call, and its first line.
func (r *Reader[T]) record() (text []byte, line int64, err error) {
	for {
		length, bad, err := r.find()
		if err != nil {
			return nil, 0, err
		}
		line = r.line + 1
		text = r.rest()[:length]
		if bad == errLong {
			text = bytes.Clone(r.rest()[:Kept])
			if err := r.skipLine(); err != nil {
				return nil, 0, err
			}
			return text, line, bad
		}
		r.consume(length)
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
		switch {
		case bad != "":
			return text, line, bad
		case len(text) > 0:
			return text, line, nil
		}
	}
}

// find gives the length of the next row with its line end, or of its first line
// when the row is bad: a quotation mark that is never closed must not swallow
// the rows after it. The buffer holds all of it.
func (r *Reader[T]) find() (length int, bad rowError, err error) {
	var scan scanner
	for at := 0; ; at++ {
		if at == len(r.rest()) {
			if err := r.fill(at + 1); err != nil {
				return 0, "", err
			}
		}
		switch {
		case at == len(r.rest()) && at == 0:
			return 0, "", io.EOF
		case at == len(r.rest()) && scan.state == quoted:
			return r.firstLine(), errOpen, nil
		case at == len(r.rest()):
			return at, "", nil
		case at >= MaxRow && scan.lines > 0:
			return r.firstLine(), errOpen, nil
		case at >= MaxRow:
			return 0, errLong, nil
		}
		c := r.rest()[at]
		if r.format == CSV {
			scan.step(c)
		}
		switch {
		case scan.state == wrong && scan.lines > 0:
			return r.firstLine(), errQuote, nil
		case scan.lines >= MaxLines:
			return r.firstLine(), errOpen, nil
		case c == '\n' && scan.state != quoted:
			return at + 1, "", nil
		}
	}
}

// firstLine gives the length of the first buffered line with its end.
func (r *Reader[T]) firstLine() int {
	if i := bytes.IndexByte(r.rest(), '\n'); i >= 0 {
		return i + 1
	}
	return len(r.rest())
}

// skipLine consumes the rest of a line of any length.
func (r *Reader[T]) skipLine() error {
	for {
		if i := bytes.IndexByte(r.rest(), '\n'); i >= 0 {
			r.consume(i + 1)
			return nil
		}
		r.consume(len(r.rest()))
		if err := r.fill(1); err != nil {
			return err
		}
		if len(r.rest()) == 0 {
			return nil
		}
	}
}

func (r *Reader[T]) rest() []byte { return r.buffer[r.start:r.end] }

// consume takes n bytes away. They stay where they are until the next fill.
func (r *Reader[T]) consume(n int) {
	r.sum.Write(r.buffer[r.start : r.start+n]) //nolint:errcheck // a hash never fails to write
	r.line += int64(bytes.Count(r.buffer[r.start:r.start+n], []byte("\n")))
	r.start += n
}

// fill reads until n bytes are buffered or the file ends.
func (r *Reader[T]) fill(n int) error {
	for r.end-r.start < n {
		if errors.Is(r.ended, io.EOF) {
			return nil
		}
		if r.ended != nil {
			return r.ended
		}
		if r.end == len(r.buffer) {
			r.end = copy(r.buffer, r.rest())
			r.start = 0
		}
		read, err := r.in.Read(r.buffer[r.end:])
		r.end += read
		r.ended = err
	}
	return nil
}

func printable(text []byte) string {
	if utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 {
		return string(text)
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\x00", "\uFFFD")
}
