// Package jsonbody decodes JSON request bodies strictly.
package jsonbody

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// Decode reads the one JSON value of the request's body into dst.
//
// maxBytes limits the size of the body. It answers 415 for another media type
// than application/json, another charset than UTF-8 and compressed bodies, 413 for a body over the limit, 400 for text that is
// not exactly one JSON value, is no UTF-8 or names a field twice, and 422 for an
// unknown field, a value of the wrong type or null. Names are compared letter
// by letter.
func Decode(w http.ResponseWriter, r *http.Request, maxBytes int64, dst any) error {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, encoding := params["charset"], r.Header.Get("Content-Encoding")
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") || encoding != "" && encoding != "identity" {
		return problem.New(http.StatusUnsupportedMediaType, problem.CodeMediaType, "The body must be sent with Content-Type: application/json, in UTF-8 and without Content-Encoding.")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	if err == nil {
		err = unmarshal(text, dst)
	}
	if err != nil {
		return explain(err, "body")
	}
	if nulls := nullsIn(text); len(nulls) > 0 {
		return problem.Invalid(nulls)
	}
	return nil
}

// Unmarshal reads the one JSON value of the text into dst, as strictly as
// Decode and with its 400 and 422. A field that is null is as if left out.
func Unmarshal(text []byte, dst any) error {
	if err := unmarshal(text, dst); err != nil {
		return explain(err, "text")
	}
	return nil
}

func unmarshal(text []byte, dst any) error {
	err := json.Unmarshal(text, dst, json.RejectUnknownMembers(true))
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		// A wrong value ends the reading; what is not JSON at all is said first.
		if notJSON := json.Unmarshal(text, new(jsontext.Value)); notJSON != nil {
			return notJSON
		}
	}
	return err
}

// nullsIn says by JSON pointer what is wrong with the nulls in valid JSON,
// which json.Unmarshal takes for zero.
func nullsIn(text []byte) map[string]string {
	if !bytes.Contains(text, []byte("null")) {
		return nil
	}
	nulls := map[string]string{}
	decoder := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return nulls // io.EOF: the text is valid
		}
		if token.Kind() == 'n' {
			nulls[string(decoder.StackPointer())] = "must not be null; leave it out instead"
		}
	}
}

// explain gives the problem of a text that could not be read, calling it by the
// name. It repeats no value of the text, which may be personal data.
func explain(err error, name string) error {
	var tooLarge *http.MaxBytesError
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &tooLarge):
		return problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The %s is larger than %d bytes.", name, tooLarge.Limit)
	case errors.As(err, &semantic):
		return problem.Invalid(map[string]string{string(semantic.JSONPointer): mistake(semantic)})
	case !errors.As(err, &syntax): // the connection broke
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s ends before it is complete.", name)
	case errors.Is(err, io.ErrUnexpectedEOF) && syntax.JSONPointer == "" && syntax.ByteOffset == 0:
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s is empty; a JSON value is expected.", name)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s ends in the middle of a JSON value.", name)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s names a field twice: %s.", name, syntax.JSONPointer)
	}
	what, _, _ := strings.Cut(syntax.Err.Error(), " `") // what follows is the text
	return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The %s is not JSON: %s at byte %d.", name, what, syntax.ByteOffset)
}

// mistake says what a value should have been.
func mistake(err *json.SemanticError) string {
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "is not a known field"
	case err.GoType == reflect.TypeFor[time.Time]():
		return "must be a time such as 2026-01-31T12:00:00Z (RFC 3339)"
	case err.Err != nil && reflect.PointerTo(err.GoType).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return err.Err.Error() // the type's own words
	case err.JSONKind == '0' && article(err.GoType.Kind()) == wholeNumber:
		return "must be " + wholeNumber + ", without a fraction and not as large"
	}
	return "must be " + article(err.GoType.Kind()) + ", not " + given(err.JSONKind)
}

const wholeNumber = "a whole number"

func article(kind reflect.Kind) string {
	switch kind {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return wholeNumber
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a " + kind.String()
	}
}

func given(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '0':
		return "a number"
	case '"':
		return "a string"
	default:
		return kind.String() // true, false
	}
}
