package rest

import (
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

// A list of tags matches a tag only when it holds that tag or is "*".
func FuzzETags(f *testing.F) {
	for _, header := range []string{`"a"`, `W/"a"`, `"b", "a"`, `*`, ``, `"a`, `,,`, `"a""a"`} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		for _, weak := range []bool{true, false} {
			if matches(header, `"a"`, weak) && !strings.Contains(header, `"a"`) && !strings.Contains(header, "*") {
				t.Errorf("%q matches", header)
			}
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, header := range []string{"text/csv", "application/json, text/csv", "text/csv;q=0.5", "*/*", "text/*", "", ";;", "text/csv; header=\""} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequest(http.MethodGet, "/", nil)
		c.Request.Header["Accept"] = []string{header}
		if wantsCSV(c) && !strings.Contains(strings.ToLower(header), "text/csv") {
			t.Errorf("%q asks for CSV", header)
		}
	})
}

// A cell never begins like a formula and reads back as one cell.
func FuzzCell(f *testing.F) {
	for _, text := range []string{"Alice", "=cmd()", "+1", "-1", "@x", "\t=", "\r=", `a"b`, "a,b", "a\nb", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		written, err := cell(text)
		if err != nil {
			t.Fatal(err)
		}
		if written != "" && strings.ContainsRune("=+-@\t\r", rune(written[0])) {
			t.Errorf("%q is written as %q", text, written)
		}
		var out strings.Builder
		w := csv.NewWriter(&out)
		if err := w.Write([]string{written, "end"}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		row, err := csv.NewReader(strings.NewReader(out.String())).Read()
		if err != nil || len(row) != 2 {
			t.Errorf("%q reads as %q, %v", out.String(), row, err)
		}
	})
}
