package rest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/internal/problem"
)

// Time limits of an upload, in place of the server's, which fit small bodies. A
// caller may take as long as minRate needs, and patience beside.
const (
	patience = 30 * time.Second
	minRate  = 16 << 10 // bytes per second
	// answerWithin is how long the last rows may take from the last byte to the answer.
	answerWithin = 60 * time.Second
	// storeWithin is how long the database may take for what was read at once.
	storeWithin = 20 * time.Second
)

var errStalled = errors.New("the database did not take the rows of an upload in time")

// An Upload is a request whose body is read as it comes.
type Upload struct {
	Caller    string // name of the API key
	Key       string // Idempotency-Key
	MediaType string
	// Body gives problems as errors; io.EOF means that the body is complete.
	Body *pacedBody
}

// Upload adds a POST route for bodies of up to maxBytes bytes in one of the
// media types. It needs an Idempotency-Key: who sends much must be able to go on
// after an interruption.
func (r *Router) Upload(path, scope string, maxBytes int64, mediaTypes []string, h func(*gin.Context, Upload) error) {
	stopping := r.service.Stopping
	if stopping == nil {
		stopping = context.Background()
	}
	r.add(http.MethodPost, path, r.handleUpload(scope, func(c *gin.Context) error {
		ctx, cancel := context.WithCancelCause(c.Request.Context())
		defer cancel(nil)
		c.Request = c.Request.WithContext(ctx)
		upload, err := newUpload(c, maxBytes, mediaTypes)
		if err != nil {
			return err
		}
		upload.Body.storing = time.AfterFunc(storeWithin, func() { cancel(errStalled) })
		defer upload.Body.storing.Stop()
		upload.Body.stopped = func() bool { return stopping.Err() != nil }
		// A body that is waited for is waited for no longer.
		defer context.AfterFunc(stopping, func() { upload.Body.interrupt() })()
		err = h(c, upload)
		if err != nil && errors.Is(context.Cause(ctx), errStalled) {
			return problem.Unavailable(errStalled)
		}
		return err
	}))
}

func newUpload(c *gin.Context, maxBytes int64, mediaTypes []string) (Upload, error) {
	mediaType, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	encoding := c.GetHeader("Content-Encoding")
	if err != nil || !slices.Contains(mediaTypes, mediaType) || encoding != "" && encoding != "identity" {
		return Upload{}, problem.New(http.StatusUnsupportedMediaType, problem.CodeMediaType, "The body must be sent with Content-Type: %s, and without Content-Encoding.", strings.Join(mediaTypes, " or "))
	}
	key := c.GetHeader(idempotency.Header)
	if key == "" || len(key) > 255 || len(c.Request.Header.Values(idempotency.Header)) > 1 {
		return Upload{}, problem.New(http.StatusBadRequest, problem.CodeMalformed, "Send one %s of 1 to 255 characters: with it an upload that is interrupted can be sent again, and goes on without doing anything twice.", idempotency.Header)
	}
	if c.Request.ContentLength > maxBytes {
		return Upload{}, tooLarge(maxBytes)
	}
	return Upload{
		Caller:    c.GetString(callerName),
		Key:       key,
		MediaType: mediaType,
		Body: &pacedBody{
			body: http.MaxBytesReader(c.Writer, c.Request.Body, maxBytes),
			conn: http.NewResponseController(c.Writer),
			left: patience,
		},
	}, nil
}

func tooLarge(maxBytes int64) error {
	return problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The body is larger than %d bytes; send it in parts.", maxBytes)
}

func stopping() error {
	p := problem.New(http.StatusServiceUnavailable, problem.CodeUnavailable, "The service is stopping; what was read is stored. Send the file again with the same %s: it goes on from there.", idempotency.Header)
	p.RetryAfter = 1
	return p
}

// A pacedBody moves the deadlines of its connection on while data flows. Only the
// time spent waiting for the caller counts, not that of the database, which has
// storing.
type pacedBody struct {
	body    io.Reader
	conn    *http.ResponseController
	left    time.Duration // how long the caller may still be waited for
	storing *time.Timer

	stopped func() bool // the service stops

	mu sync.Mutex // held while deadlines are set
}

// interrupt ends the Read that waits for the caller, after stopped became true.
func (b *pacedBody) interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.conn.SetReadDeadline(time.Now()) // if it fails, the caller's own deadline comes
}

// extend sets the deadlines for a read; false: there will be none.
func (b *pacedBody) extend(deadline time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped() {
		return false, b.conn.SetWriteDeadline(time.Now().Add(answerWithin))
	}
	return true, errors.Join(b.conn.SetReadDeadline(deadline), b.conn.SetWriteDeadline(deadline.Add(answerWithin)))
}

// Read reads what the caller sends next.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.storing.Stop()
	defer b.storing.Reset(storeWithin)
	begin := time.Now()
	if more, err := b.extend(begin.Add(min(b.left, patience))); err != nil || !more {
		return 0, cmp.Or(err, stopping())
	}
	n, err := b.body.Read(p)
	b.left += time.Duration(n)*time.Second/minRate - time.Since(begin)
	var limit *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, err
	case errors.As(err, &limit):
		return n, tooLarge(limit.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded) && b.stopped():
		return n, stopping()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, problem.New(http.StatusRequestTimeout, problem.CodeTimeout, "The body came too slowly: it must come with %d bytes a second. Send it again with the same %s.", minRate, idempotency.Header)
	default:
		return n, problem.New(http.StatusBadRequest, problem.CodeMalformed, "The body ends before it is complete. Send it again with the same %s.", idempotency.Header)
	}
}
