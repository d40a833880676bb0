// Package rest is the one HTTP manner of all services.
//
// A service's own HTTP package is a route table and its handlers; everything
// that no caller should have to learn twice is here.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/datameesh/datameesh/services/internal/idempotency"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/requestid"
	"github.com/datameesh/datameesh/services/internal/requestlog"
)

// Errors are what a domain calls the three things that every store can say.
type Errors struct{ NotFound, Conflict, Unavailable error }

// An Authorizer says who sent a request, by a name that is fit for logs, or
// answers 401; 403 when the scope is missing.
type Authorizer interface {
	Authorize(request *http.Request, scope string) (name string, err error)
}

// A Service is what the routes of one service share.
type Service struct {
	Keys    Authorizer
	Log     *requestlog.Client // nil: no request log
	Limit   *ratelimit.Limiter // nil: no limit
	Errors  Errors
	OpenAPI []byte // the YAML of the API's description
	// Stopping ends when uploads have to end; nil: never.
	Stopping context.Context
}

// requestTimeout is how long the database may take for a request: longer than any
// good one needs, shorter than callers wait, and than the 10 s that a statement
// has, so that one that waits for a lock ends like one that waits for a server
// that hangs, with 503. Uploads have limits of their own.
const requestTimeout = 8 * time.Second

// A Handler answers a request, or gives the error to be answered.
type Handler func(*gin.Context) error

// A Router is the routes of one service.
type Router struct {
	service Service
	engine  *gin.Engine
	// methods of the paths without a parameter
	methods map[string][]string
}

// NewRouter makes a router without routes of its own. It answers /openapi.json,
// and everything unknown as a problem.
func NewRouter(service Service) (*Router, error) {
	description, err := openAPI(service.OpenAPI)
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("trust no proxy: %w", err)
	}
	r := &Router{service, engine, map[string][]string{}}
	engine.Use(r.record, recoverPanic)
	engine.NoRoute(func(c *gin.Context) {
		problem.Write(c.Writer, c.Request, problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such path; /openapi.json describes all."))
	})
	engine.NoMethod(func(c *gin.Context) {
		if methods := r.methods[c.Request.URL.Path]; methods != nil {
			c.Header("Allow", strings.Join(methods, ", ")) // without what would take the path for an id
		}
		problem.Write(c.Writer, c.Request, noMethod(c))
	})
	r.add(http.MethodGet, "/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", description) })
	return r, nil
}

func noMethod(c *gin.Context) error {
	return problem.New(http.StatusMethodNotAllowed, problem.CodeMethod, "The path does not answer %s; see the Allow header.", c.Request.Method)
}

// add adds a route. "/things/:id" does not answer for a "/things/import" that
// has other methods: gin would take "import" for an id.
func (r *Router) add(method, path string, h gin.HandlerFunc) {
	if !strings.Contains(path, ":") {
		r.methods[path] = append(r.methods[path], method)
		r.engine.Handle(method, path, h)
		return
	}
	r.engine.Handle(method, path, func(c *gin.Context) {
		if methods := r.methods[c.Request.URL.Path]; methods != nil {
			c.Header("Allow", strings.Join(methods, ", "))
			problem.Write(c.Writer, c.Request, noMethod(c))
			return
		}
		h(c)
	})
}

// GET, POST, Do and PATCH let requests with the scope through to the handler.

// GET adds a route that only reads.
func (r *Router) GET(path, scope string, h Handler) { r.add(http.MethodGet, path, r.handle(scope, h)) }

// POST adds a route that makes something; a caller may send an Idempotency-Key.
func (r *Router) POST(path, scope string, h Handler) {
	r.add(http.MethodPost, path, r.handle(scope, idempotent(h)))
}

// Do adds a POST route that moves something to a state: what it is then says
// already whether it was done, so that an Idempotency-Key has no meaning.
func (r *Router) Do(path, scope string, h Handler) { r.add(http.MethodPost, path, r.handle(scope, h)) }

// PATCH adds a route that changes a resource; a caller must send If-Match.
func (r *Router) PATCH(path, scope string, h Handler) {
	r.add(http.MethodPatch, path, r.handle(scope, h))
}

// Handler gives the whole as an HTTP handler. It goes on with the trace of the
// caller's traceparent (W3C Trace Context), if any.
func (r *Router) Handler() http.Handler {
	traced := otelhttp.NewHandler(r.engine, "request",
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithMeterProvider(noop.NewMeterProvider())) // Prometheus has the figures
	return requestid.Middleware(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		// A trace that nobody began or collects would cost a sixth of a request.
		if _, collected := otel.GetTracerProvider().(*trace.TracerProvider); !collected && request.Header.Get("Traceparent") == "" {
			r.engine.ServeHTTP(w, request)
			return
		}
		traced.ServeHTTP(w, request)
	}))
}

// Routes lists the routes as "METHOD /path/:id".
func (r *Router) Routes() []string {
	var list []string
	for _, route := range r.engine.Routes() {
		list = append(list, route.Method+" "+route.Path)
	}
	return list
}

// callerName is the gin key under which the name of the API key stands.
const callerName = "caller"

func (r *Router) handle(scope string, h Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		if err := r.serve(c, scope, h); err != nil {
			problem.Write(c.Writer, c.Request, r.explain(err))
		}
	}
}

func (r *Router) serve(c *gin.Context, scope string, h Handler) error {
	name, err := r.service.Keys.Authorize(c.Request, scope)
	c.Set(callerName, name)
	if r.service.Limit != nil {
		// Who has no valid key shares a bucket with everybody at the address.
		caller := "key " + name
		if name == "" {
			caller = "address " + c.RemoteIP()
		}
		if limited := r.service.Limit.Allow(c.Writer, caller); limited != nil {
			return limited
		}
	}
	if err != nil {
		return err
	}
	return h(c)
}

// handleUpload is handle without the limit of a request's time.
func (r *Router) handleUpload(scope string, h Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := r.serve(c, scope, h); err != nil {
			problem.Write(c.Writer, c.Request, r.explain(err))
		}
	}
}

// explain turns an error into the problem that the caller sees.
func (r *Router) explain(err error) error {
	of := r.service.Errors
	switch {
	case errors.Is(err, of.NotFound):
		return problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such resource.")
	case errors.Is(err, of.Conflict):
		_, detail, _ := strings.Cut(err.Error(), of.Conflict.Error()+": ")
		return problem.New(http.StatusConflict, problem.CodeConflict, "%s.", detail)
	case errors.Is(err, of.Unavailable):
		return problem.Unavailable(err)
	case errors.Is(err, idempotency.ErrRunning):
		p := problem.New(http.StatusConflict, problem.CodeConflict, "A request with this %s is still running; ask again for its answer.", idempotency.Header)
		p.RetryAfter = 1
		return p
	case errors.Is(err, idempotency.ErrReused):
		return problem.New(http.StatusUnprocessableEntity, problem.CodeInvalidBody, "This %s was used with another request; use a new one for each request.", idempotency.Header)
	}
	return err
}

// record notes what was served: in the metrics, in the trace, and in the
// request log of the API metrics logger.
func (r *Router) record(c *gin.Context) {
	begin := time.Now()
	c.Next()
	took := time.Since(begin)
	observe(c, took)
	r.service.Log.Record(requestlog.Entry{
		ServedAt:  begin.UTC(),
		Route:     c.FullPath(),
		Method:    c.Request.Method,
		Status:    c.Writer.Status(),
		Duration:  took.Microseconds(),
		Bytes:     int64(max(c.Writer.Size(), 0)),
		RequestID: c.Writer.Header().Get(requestid.Header),
		KeyName:   c.GetString(callerName),
	})
}

// recoverPanic turns a panic into a 500 and a log line with the stack.
func recoverPanic(c *gin.Context) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.ErrorContext(c.Request.Context(), "panic", "route", c.FullPath(), "cause", cause, "stack", string(debug.Stack()))
			c.Abort()
			if !c.Writer.Written() {
				problem.Write(c.Writer, c.Request, fmt.Errorf("panic: %v", cause))
			}
		}
	}()
	c.Next()
}
