package collect

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/jsonbody"
	"github.com/datameesh/datameesh/services/internal/keyset"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// maxBody bounds the body of a request: a batch of logs.
const maxBody = 1 << 20

// explain turns an error of the store into the problem that the caller sees.
func explain(err error) error {
	if errors.Is(err, apimetrics.ErrUnavailable) {
		return problem.Unavailable(err)
	}
	return err
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
