package rowfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// Open opens the file at path; its name says the format: .csv, .ndjson or .jsonl.
func Open(path string) (*os.File, Format, error) {
	var format Format
	switch filepath.Ext(path) {
	case ".csv":
		format = CSV
	case ".ndjson", ".jsonl":
		format = NDJSON
	default:
		return nil, "", fmt.Errorf("the name of %s must end in .csv, .ndjson or .jsonl", path)
	}
	file, err := os.Open(path) //nolint:gosec // the caller's own file
	return file, format, err
}
