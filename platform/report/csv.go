package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// CSV writes what the panel's query gave, with all digits: a header row, times as
// RFC 3339 in UTC, nothing for NULL. Texts that a spreadsheet would compute begin
// with an apostrophe.
func (f *Figure) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	header := make([]string, len(f.Table.Columns))
	for i, name := range f.Table.Columns {
		header[i] = defuse(name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	for _, row := range f.Table.Rows {
		cells := make([]string, len(row))
		for i, value := range row {
			cells[i] = f.cell(f.Table.Columns[i], value)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// CSV writes all panels, one value a line: panel, row from 1, column, value.
func (p *Page) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"panel", "row", "column", "value"}); err != nil {
		return err
	}
	for _, row := range p.Rows {
		for _, f := range row.Figures {
			for n, values := range f.Table.Rows {
				for i, value := range values {
					name := f.Table.Columns[i]
					if err := out.Write([]string{defuse(f.Title), strconv.Itoa(n + 1), defuse(name), f.cell(name, value)}); err != nil {
						return err
					}
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (f *Figure) cell(column string, value any) string {
	switch x := value.(type) {
	case string:
		return defuse(x)
	case time.Time:
		return x.UTC().Format(time.RFC3339)
	case bool:
		return strconv.FormatBool(x)
	case float64:
		if f.Type == "timeseries" && column == "time" { // seconds since 1970
			return time.Unix(int64(x), 0).UTC().Format(time.RFC3339)
		}
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return ""
}

// defuse keeps spreadsheets from computing a text (OWASP, "CSV Injection").
func defuse(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
