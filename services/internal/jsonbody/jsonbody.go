// Package jsonbody decodes JSON request bodies strictly.
package jsonbody

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// Decode reads the one JSON value of the request's body into dst.
//
// maxBytes limits the size of the body. It answers 415 for another media type
// than application/json, another charset than UTF-8 and compressed bodies, 413 for a body over the limit, 400 for text that is
// not exactly one JSON value, is no UTF-8 or names a field twice, and 422 for an
// unknown field, a value of the wrong type or null.
func Decode(w http.ResponseWriter, r *http.Request, maxBytes int64, dst any) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, encoding := params["charset"], r.Header.Get("Content-Encoding")
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") || encoding != "" && encoding != "identity" {
		return problem.New(http.StatusUnsupportedMediaType, problem.CodeMediaType, "The body must be sent with Content-Type: application/json, in UTF-8 and without Content-Encoding.")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if err != nil {
		return explain(err, "body")
	}
	nulls, err := decode("body", text, dst)
	if err == nil && len(nulls) > 0 {
		return problem.Invalid(nulls)
	}
	return err
}

// Unmarshal reads the one JSON value of the text into dst, as strictly as
// Decode and with its 400 and 422. A field that is null is left as it is.
func Unmarshal(text []byte, dst any) error {
	_, err := decode("text", text, dst)
	return err
}

// decode calls what it reads by the name in what it says of it, and gives the
// nulls in it by JSON pointer.
func decode(name string, text []byte, dst any) (nulls map[string]string, err error) {
	if !utf8.Valid(text) {
		return nil, problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s is not UTF-8.", name)
	}
	if err := unmarshal(name, text, dst); err != nil {
		return nil, err
	}
	s := scanner{text: text}
	s.value()
	if s.twice != "" {
		return nil, problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s names a field twice: %s.", name, s.twice)
	}
	return s.nulls, nil
}

func unmarshal(name string, text []byte, dst any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(dst); err != nil {
		return explain(err, name)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s holds more than one JSON value.", name)
	}
	return nil
}

func explain(err error, name string) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The %s is larger than %d bytes.", name, tooLarge.Limit)
	case errors.Is(err, io.EOF):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s is empty; a JSON value is expected.", name)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s ends in the middle of a JSON value.", name)
	case errors.As(err, &syntax):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s is not JSON: %s at byte %d.", name, syntax.Error(), syntax.Offset)
	case errors.As(err, &wrongType):
		pointer := "" // RFC 6901: the whole
		if wrongType.Field != "" {
			pointer = "/" + strings.ReplaceAll(wrongType.Field, ".", "/")
		}
		return problem.Invalid(map[string]string{pointer: "must be " + article(wrongType.Type.Kind().String()) + ", not " + wrongType.Value})
	}
	// encoding/json has no type for these two; their texts are part of its
	// behaviour since Go 1.10 and the test of this package notices a change.
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return problem.Invalid(map[string]string{"/" + strings.Trim(field, `"`): "is not a known field"})
	}
	return problem.New(http.StatusUnprocessableEntity, problem.CodeInvalidBody, "The %s holds a value that cannot be read: %s.", name, strings.TrimPrefix(err.Error(), "json: "))
}

func article(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "true or false"
	case kind == "slice", kind == "array":
		return "a list"
	case kind == "struct", kind == "map":
		return "an object"
	default:
		return "a " + kind
	}
}
