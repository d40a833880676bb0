// Package httpserver runs the HTTP side of a service from start to graceful stop.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Time limits of every server. A slow client can hold a connection, never for
// long; drain is how long load balancers need to see that /readyz turned off.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
	readyTimeout      = 2 * time.Second
	shutdownTimeout   = 15 * time.Second
)

// A Server is one service's HTTP side.
type Server struct {
	Addr      string // host:port of the API
	AdminAddr string // host:port of /metrics; empty for none
	Handler   http.Handler
	// Checks are what the service needs to work.
	Checks []Check
	// Drain is how long the server still answers after /readyz turned off.
	Drain time.Duration
}

// A Check says why the service cannot work at the moment; nil when it can.
type Check struct {
	Name string // "postgres"
	Of   func(context.Context) error
}

// An Explained error says, also to those who only ask /readyz?verbose, why a
// check failed. It names neither hosts nor users, as other errors may.
type Explained interface {
	error
	Explain() string
}

// Run serves until ctx ends and then stops gracefully: /readyz turns off, the
// server goes on for Drain, running requests end, then Run returns.
func (s Server) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR: %w", err)
	}
	var stopping atomic.Bool
	servers := []*http.Server{server(s.health(&stopping))}
	listeners := []net.Listener{listener}
	if s.AdminAddr != "" {
		adminListener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.AdminAddr)
		if err != nil {
			return errors.Join(fmt.Errorf("ADMIN_ADDR: %w", err), listener.Close())
		}
		admin := http.NewServeMux()
		admin.Handle("GET /metrics", promhttp.Handler())
		servers, listeners = append(servers, server(admin)), append(listeners, adminListener)
	}

	failed := make(chan error, len(servers))
	for i := range servers {
		go func() { failed <- servers[i].Serve(wholeListener{listeners[i]}) }()
	}
	slog.Info("serving", "addr", listener.Addr().String())

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping.Store(true)
	slog.Info("stopping", "drain", s.Drain.String())
	select {
	case <-time.After(s.Drain):
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(stopCtx); err != nil {
			errs = append(errs, fmt.Errorf("stop: requests were still running after %v: %w", shutdownTimeout, err))
		}
	}
	return errors.Join(errs...)
}

func server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}

// health puts /livez and /readyz before the API. /livez never looks at the
// database: restarting a service does not mend its database.
func (s Server) health(stopping *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		status, report := http.StatusOK, ""
		for _, check := range append([]Check{{"running", running(stopping)}}, s.Checks...) {
			if err := check.Of(ctx); err != nil {
				slog.WarnContext(ctx, "not ready", "check", check.Name, "error", err)
				why := ""
				if explained, ok := errors.AsType[Explained](err); ok {
					why = ": " + explained.Explain()
				}
				status, report = http.StatusServiceUnavailable, report+"[-]"+check.Name+" failed"+why+"\n"
			} else {
				report += "[+]" + check.Name + " ok\n"
			}
		}
		if status == http.StatusOK && !r.URL.Query().Has("verbose") {
			report = "ok\n"
		}
		answer(w, status, report)
	})
	return mux
}

func running(stopping *atomic.Bool) func(context.Context) error {
	return func(context.Context) error {
		if stopping.Load() {
			return errors.New("the service is stopping")
		}
		return nil
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}
