// Package leadfile reads leads from CSV and NDJSON files.
package leadfile

import (
	"io"

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
		list[i] = marketing.ImportRow{Position: row.Line, Raw: row.Text, Lead: row.Value, Wrong: rowfile.Reason(row.Value, row.Err)}
	}
	return list, err
}

// Read gives the lead in the row of a dead letter; a *problem.Problem when it
// holds none.
func Read(letter marketing.DeadLetter) (marketing.ImportedLead, error) {
	lead, err := rowfile.Parse[marketing.ImportedLead](rowfile.Format(letter.Format), letter.Columns, letter.Raw)
	if why := rowfile.Reason(lead, err); why != "" {
		return lead, problem.Invalid(map[string]string{"/raw": why})
	}
	return lead, nil
}
