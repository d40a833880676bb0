// Package jsonbody decodes JSON request bodies strictly.
package jsonbody

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// Decode reads the one JSON value of the request's body into dst.
//
// maxBytes limits the size of the body. It answers 415 for another media type
// than application/json, 413 for a body over the limit, 400 for text that is
// not exactly one JSON value, and 422 for an unknown field or a value of the
// wrong type.
func Decode(w http.ResponseWriter, r *http.Request, maxBytes int64, dst any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return problem.New(http.StatusUnsupportedMediaType, problem.CodeMediaType, "The body must be sent with Content-Type: application/json.")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBytes))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(dst); err != nil {
		return explain(err, maxBytes)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body holds more than one JSON value.")
	}
	return nil
}

func explain(err error, maxBytes int64) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The body is larger than %d bytes.", maxBytes)
	case errors.Is(err, io.EOF):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body is empty; a JSON value is expected.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body ends in the middle of a JSON value.")
	case errors.As(err, &syntax):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body is not JSON: %s at byte %d.", syntax.Error(), syntax.Offset)
	case errors.As(err, &wrongType):
		return problem.Invalid(map[string]string{"/" + strings.ReplaceAll(wrongType.Field, ".", "/"): "must be " + article(wrongType.Type.Kind().String()) + ", not " + wrongType.Value})
	}
	// encoding/json has no type for these two; their texts are part of its
	// behaviour since Go 1.10 and the test of this package notices a change.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return problem.Invalid(map[string]string{"/" + strings.Trim(name, `"`): "is not a known field"})
	}
	return problem.New(http.StatusUnprocessableEntity, problem.CodeInvalidBody, "The body holds a value that cannot be read: %s.", strings.TrimPrefix(err.Error(), "json: "))
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
