package rest

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"
)

// wantsCSV says whether the caller asks for text/csv rather than JSON.
func wantsCSV(c *gin.Context) bool {
	for accepted := range strings.SplitSeq(c.GetHeader("Accept"), ",") {
		mediaType, _, err := mime.ParseMediaType(accepted)
		switch {
		case err != nil:
			continue
		case mediaType == "text/csv":
			return true
		case mediaType == "application/json", mediaType == "*/*":
			return false
		}
	}
	return false
}

// writeCSV answers a list as RFC 4180 text with one header row. The next page
// is in the Link header.
func writeCSV[T any](c *gin.Context, items []T) error {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	// The fields of JSON, which takes those of an embedded struct for its own.
	var header []string
	var columns [][]int
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		header, columns = append(header, name), append(columns, f.Index)
	}
	if err := w.Write(header); err != nil {
		return err
	}
	for _, item := range items {
		value := reflect.ValueOf(item)
		row := make([]string, len(header))
		for i := range row {
			cell, err := cell(value.FieldByIndex(columns[i]).Interface())
			if err != nil {
				return err
			}
			row[i] = cell
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	c.Header("Cache-Control", "private, no-cache")
	c.Data(http.StatusOK, "text/csv; charset=utf-8; header=present", text.Bytes())
	return w.Error()
}

// cell writes a value as its JSON says it, without quotes. Text that a
// spreadsheet would run as a formula gets an apostrophe before it (OWASP, "CSV
// Injection").
func cell(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	if bytes.Equal(text, []byte("null")) {
		return "", nil
	}
	if text[0] != '"' {
		return string(text), nil
	}
	var plain string
	if err := json.Unmarshal(text, &plain); err != nil {
		return "", fmt.Errorf("%s: %w", text, err)
	}
	if plain != "" && strings.ContainsRune("=+-@\t\r", rune(plain[0])) {
		plain = "'" + plain
	}
	return plain, nil
}
