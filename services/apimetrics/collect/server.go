// Package collect is the HTTP face of the API metrics domain.
package collect

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/apimetrics"
	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/problem"
	"github.com/datameesh/datameesh/services/internal/requestid"
)

// Scopes of the API.
const (
	scopeRead  = "metrics:read"
	scopeWrite = "logs:write"
)

// A Server answers the requests of the API metrics logger.
type Server struct {
	Store apimetrics.Store
	Keys  *apikey.Ring
}

// Routes gives the handler of all routes.
func (s *Server) Routes() http.Handler {
	router := s.router()

	router.POST("/v1/logs", s.handle(scopeWrite, s.storeLogs))
	router.GET("/v1/logs", s.handle(scopeRead, s.listLogs))

	router.GET("/v1/metrics", s.handle(scopeRead, s.metrics))
	router.GET("/v1/metrics/timeline", s.handle(scopeRead, s.timeline))

	return requestid.Middleware(router)
}

// router makes a gin engine that answers every error as a problem. It records no
// requests: a logger that logs itself would never be idle.
func (s *Server) router() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.HandleMethodNotAllowed = true
	router.RedirectTrailingSlash = false
	if err := router.SetTrustedProxies(nil); err != nil {
		panic(fmt.Sprintf("gin refuses to trust no proxy: %v", err)) // nil is always valid
	}
	router.Use(recoverPanic)
	router.NoRoute(func(c *gin.Context) {
		problem.Write(c.Writer, c.Request, problem.New(http.StatusNotFound, problem.CodeNotFound, "There is no such path."))
	})
	router.NoMethod(func(c *gin.Context) {
		problem.Write(c.Writer, c.Request, problem.New(http.StatusMethodNotAllowed, problem.CodeMethod, "The path does not answer %s; see the Allow header.", c.Request.Method))
	})
	return router
}

// handle lets requests with the scope through to f and answers its error.
func (s *Server) handle(scope string, f func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		_, err := s.Keys.Authorize(c.Request, scope)
		if err == nil {
			err = explain(f(c))
		}
		if err != nil {
			problem.Write(c.Writer, c.Request, err)
		}
	}
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
