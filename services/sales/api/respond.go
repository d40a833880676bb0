package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/jsonbody"
	"github.com/datameesh/datameesh/services/internal/keyset"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/sales"
)

// maxBody bounds the body of a request: one customer or order.
const maxBody = 64 << 10

// explain turns an error of the store into the problem that the caller sees.
func explain(err error) error {
	switch {
	case errors.Is(err, sales.ErrNotFound):
		return problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such resource.")
	case errors.Is(err, sales.ErrConflict):
		_, detail, _ := strings.Cut(err.Error(), sales.ErrConflict.Error()+": ")
		return problem.New(http.StatusConflict, problem.CodeConflict, "%s.", detail)
	case errors.Is(err, sales.ErrUnavailable):
		return problem.Unavailable(err)
	}
	return err
}

// pathID gives the :id of the path; what is no id is not found.
func pathID(c *gin.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, sales.ErrNotFound
	}
	return id, nil
}

// body decodes the request's body into a T and validates it.
func body[T interface{ Validate() map[string]string }](c *gin.Context) (value T, err error) {
	if err := jsonbody.Decode(c.Writer, c.Request, maxBody, &value); err != nil {
		return value, err
	}
	if wrong := value.Validate(); len(wrong) > 0 {
		return value, problem.Invalid(wrong)
	}
	return value, nil
}

// created answers 201 with the resource and where it lies.
func created(c *gin.Context, list string, id int64, resource any) error {
	c.Header("Location", list+"/"+strconv.FormatInt(id, 10))
	c.JSON(http.StatusCreated, resource)
	return nil
}

// ok answers 200 with the resource, or with err.
func ok(c *gin.Context, resource any, err error) error {
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, resource)
	return nil
}

// A page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"` // absent on the last page
}

// onePage answers a page of the list. items holds up to limit+1 items: one more
// than fits says that there is a next page.
func onePage[T any](c *gin.Context, list string, items []T, limit int, id func(T) int64) error {
	answer := page[T]{Items: items}
	if len(items) > limit {
		answer.Items = items[:limit]
		answer.NextCursor = keyset.Encode(list, id(items[limit-1]))
		next := url.URL{Path: c.Request.URL.Path}
		query := c.Request.URL.Query()
		query.Set("cursor", answer.NextCursor)
		next.RawQuery = query.Encode()
		c.Header("Link", "<"+next.String()+`>; rel="next"`)
	}
	return ok(c, answer, nil)
}
