package query

import (
	"strings"
	"testing"
)

// A statement is what was given without its end, and reading it again changes
// nothing.
func FuzzStatement(f *testing.F) {
	for _, input := range []string{"SELECT 1", "SELECT 1;", "SELECT ';'", `SELECT ";"`, "-- a;\nSELECT 1;", "/* ; */ SELECT 1", "SELECT 1; SELECT 2", "", ";", "'", "/*", "--"} {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input string) {
		statement, err := Statement(input)
		if err != nil {
			return
		}
		if !strings.Contains(input, statement) {
			t.Errorf("%q became %q", input, statement)
		}
		if again, err := Statement(statement); err != nil || again != statement {
			t.Errorf("%q became %q, which became %q, %v", input, statement, again, err)
		}
	})
}
