// Package leadfile reads leads from CSV and NDJSON files.
package leadfile

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/rowfile"
	"github.com/datameesh/datameesh/services/marketing"
)

// Size of a batch: enough rows for the database to be fast, few enough bytes for
// many imports at once.
const (
	batchRows  = 1000
	batchBytes = 1 << 20
)

// A File is a marketing.ImportSource.
type File struct {
	rows   *rowfile.Reader[marketing.ImportedLead]
	format rowfile.Format
}

var _ marketing.ImportSource = (*File)(nil)

// New makes a file of what in holds; rowfile.ErrHeader when it is CSV with a
// header row that does not fit.
func New(in io.Reader, format rowfile.Format) (*File, error) {
	rows, err := rowfile.New[marketing.ImportedLead](in, format, marketing.ImportColumns...)
	return &File{rows, format}, err
}

// Format gives csv or ndjson.
func (f *File) Format() string { return string(f.format) }

// Columns gives the header row of a CSV file.
func (f *File) Columns() []string { return f.rows.Header() }

// Skip passes over the rows up to the one at the position.
func (f *File) Skip(position int64) (bool, error) { return f.rows.Skip(position) }

// Sum gives the digest up to the last row given.
func (f *File) Sum() []byte { return f.rows.Sum() }

// Batch gives the next rows.
func (f *File) Batch() ([]marketing.ImportRow, error) {
	rows, err := f.rows.Batch(batchRows, batchBytes)
	list := make([]marketing.ImportRow, len(rows))
	for i, row := range rows {
		list[i] = marketing.ImportRow{Position: row.Line, Raw: row.Text, Lead: row.Value, Wrong: reason(row.Err, row.Value)}
	}
	return list, err
}

// Read gives the lead in the row of a dead letter; a *problem.Problem when it
// holds none.
func Read(letter marketing.DeadLetter) (marketing.ImportedLead, error) {
	lead, err := rowfile.Parse[marketing.ImportedLead](rowfile.Format(letter.Format), letter.Columns, letter.Raw)
	if why := reason(err, lead); why != "" {
		return lead, problem.Invalid(map[string]string{"/raw": why})
	}
	return lead, nil
}

// maxReason bounds a reason, in bytes: unknown fields may have names of any length.
const maxReason = 500

// reason says in one line why a row is no lead; "" when it is one. It names
// fields, never what stands in them.
func reason(err error, lead marketing.ImportedLead) string {
	text := explain(err, lead)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + " …"
	}
	return text
}

func explain(err error, lead marketing.ImportedLead) string {
	wrong := map[string]string{}
	var p *problem.Problem
	switch {
	case errors.As(err, &p) && len(p.Fields) == 0:
		return p.Detail
	case errors.As(err, &p):
		for _, field := range p.Fields {
			wrong[field.Pointer] = field.Detail
		}
	case err != nil:
		return "the row " + err.Error()
	default:
		wrong = lead.Validate()
	}
	var parts []string
	for _, pointer := range slices.Sorted(maps.Keys(wrong)) {
		name := strings.TrimPrefix(pointer, "/")
		if name == "" {
			name = "the row"
		}
		parts = append(parts, name+" "+wrong[pointer])
	}
	return strings.Join(parts, "; ")
}
