package rest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/internal/jsonbody"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/queryparam"
)

// MaxBody bounds the body of a request, in bytes: a thousand leads fit.
const MaxBody = 1 << 20

// ID gives the :id of the path; 404 for what is no id.
func ID(c *gin.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such resource.")
	}
	return id, nil
}

// Query gives a reader of the query's parameters.
func Query(c *gin.Context) *queryparam.Reader { return queryparam.Of(c.Request.URL.Query()) }

// Body decodes the request's JSON body into a T and validates it. Validate
// gives what is wrong by JSON pointer.
func Body[T interface{ Validate() map[string]string }](c *gin.Context) (value T, err error) {
	if err := jsonbody.Decode(c.Writer, c.Request, MaxBody, &value); err != nil {
		return value, err
	}
	if wrong := value.Validate(); len(wrong) > 0 {
		return value, problem.Invalid(wrong)
	}
	return value, nil
}

// idempotent puts the caller's Idempotency-Key, if any, into the context, where
// the store finds it.
func idempotent(h Handler) Handler {
	return func(c *gin.Context) error {
		given := c.Request.Header.Values(idempotency.Header)
		if len(given) == 0 {
			return h(c)
		}
		key := given[0]
		if len(given) > 1 || key == "" || len(key) > 255 {
			return problem.New(http.StatusBadRequest, problem.CodeMalformed, "Send one %s of 1 to 255 characters, or none.", idempotency.Header)
		}
		body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, MaxBody))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The body is larger than %d bytes.", MaxBody)
		}
		if err != nil {
			return problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body ends before it is complete.")
		}
		hash := sha256.New()
		fmt.Fprintf(hash, "%s %s\n%s", c.Request.Method, c.Request.URL.Path, body)
		c.Request.Body = io.NopCloser(bytes.NewReader(body))
		c.Request = c.Request.WithContext(idempotency.With(c.Request.Context(), idempotency.Request{
			Caller: c.GetString(callerName), Key: key, Hash: hash.Sum(nil),
		}))
		return h(c)
	}
}
