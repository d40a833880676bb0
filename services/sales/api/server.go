// Package api is the HTTP face of the sales domain.
package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/requestid"
	"github.com/datameesh/datameesh/services/internal/requestlog"
	"github.com/datameesh/datameesh/services/sales"
)

// Scopes of the API.
const (
	scopeRead  = "sales:read"
	scopeWrite = "sales:write"
)

// A Server answers the requests of the Sales API.
type Server struct {
	Store sales.Store
	Keys  *apikey.Ring
	Log   *requestlog.Client
}

// Routes gives the handler of all routes.
func (s *Server) Routes() http.Handler {
	router := s.router()

	router.GET("/v1/customers", s.handle(scopeRead, s.listCustomers))
	router.POST("/v1/customers", s.handle(scopeWrite, s.createCustomer))
	router.GET("/v1/customers/:id", s.handle(scopeRead, s.getCustomer))
	router.PATCH("/v1/customers/:id", s.handle(scopeWrite, s.updateCustomer))

	router.GET("/v1/orders", s.handle(scopeRead, s.listOrders))
	router.POST("/v1/orders", s.handle(scopeWrite, s.createOrder))
	router.GET("/v1/orders/:id", s.handle(scopeRead, s.getOrder))
	router.PATCH("/v1/orders/:id", s.handle(scopeWrite, s.updateOrder))
	router.POST("/v1/orders/:id/status", s.handle(scopeWrite, s.setOrderStatus))

	router.GET("/v1/revenue", s.handle(scopeRead, s.revenue))

	return requestid.Middleware(router)
}

// router makes a gin engine that answers every error as a problem.
func (s *Server) router() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.HandleMethodNotAllowed = true
	router.RedirectTrailingSlash = false
	if err := router.SetTrustedProxies(nil); err != nil {
		panic(fmt.Sprintf("gin refuses to trust no proxy: %v", err)) // nil is always valid
	}
	router.Use(s.record, recoverPanic)
	router.NoRoute(func(c *gin.Context) {
		problem.Write(c.Writer, c.Request, problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such path."))
	})
	router.NoMethod(func(c *gin.Context) {
		problem.Write(c.Writer, c.Request, problem.New(http.StatusMethodNotAllowed, problem.CodeMethod, "The path does not answer %s; see the Allow header.", c.Request.Method))
	})
	return router
}

// keyName is the gin key under which the name of the API key stands.
const keyName = "api_key_name"

// handle lets requests with the scope through to f and answers its error.
func (s *Server) handle(scope string, f func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		name, err := s.Keys.Authorize(c.Request, scope)
		c.Set(keyName, name)
		if err == nil {
			err = explain(f(c))
		}
		if err != nil {
			problem.Write(c.Writer, c.Request, err)
		}
	}
}

// record tells the API metrics logger what was served.
func (s *Server) record(c *gin.Context) {
	begin := time.Now()
	c.Next()
	s.Log.Record(requestlog.Entry{
		ServedAt:  begin.UTC(),
		Route:     c.FullPath(),
		Method:    c.Request.Method,
		Status:    c.Writer.Status(),
		Duration:  time.Since(begin).Microseconds(),
		Bytes:     int64(max(c.Writer.Size(), 0)),
		RequestID: c.Writer.Header().Get(requestid.Header),
		KeyName:   c.GetString(keyName),
	})
}

// recoverPanic turns a panic into a 500 and a log line with the stack.
func recoverPanic(c *gin.Context) {
	defer func() {
		if cause := recover(); cause != nil {
			slog.Error("panic", "route", c.FullPath(), "cause", cause, "stack", string(debug.Stack()))
			c.Abort()
			if !c.Writer.Written() {
				problem.Write(c.Writer, c.Request, fmt.Errorf("panic: %v", cause))
			}
		}
	}()
	c.Next()
}
