package audit

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLongStatementsAreShortened(t *testing.T) {
	got := normalise("select " + strings.Repeat("größe + ", 1000) + "1")
	if len(got) > maxStatement || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %q", len(got), got[len(got)-20:])
	}
}
