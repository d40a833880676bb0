// Package service is the program around the routes of an HTTP service.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/httpserver"
	"github.com/datameesh/datameesh/services/internal/logging"
	"github.com/datameesh/datameesh/services/internal/oidctoken"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/requestlog"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/schema"
	"github.com/datameesh/datameesh/services/internal/tracing"
)

// Config is the environment of every HTTP service. Every bad or missing
// variable is reported at once.
type Config struct {
	ServiceName string             `env:"SERVICE_NAME"`
	ListenAddr  string             `env:"LISTEN_ADDR,required,notEmpty"`
	AdminAddr   string             `env:"ADMIN_ADDR"`                     // /metrics; empty: none
	DatabaseURL string             `env:"DATABASE_URL,required,notEmpty"` // the password comes from PGPASSWORD
	APIKeysFile string             `env:"API_KEYS_FILE,required,notEmpty"`
	OIDC        oidctoken.Provider // tokens beside API keys; default: none
	LoggerURL   string             `env:"LOGGER_URL"` // API metrics logger; empty: no request log
	LoggerKey   string             `env:"LOGGER_KEY"`
	SpillDir    string             `env:"SPILL_DIR"`                   // keeps request logs while the logger is away, for this process alone; empty: they are dropped
	SpillBytes  int64              `env:"SPILL_BYTES"`                 // what it may take; default 256 MiB
	RateLimit   int                `env:"RATE_LIMIT" envDefault:"200"` // requests per second and caller
	Drain       time.Duration      `env:"DRAIN" envDefault:"0s"`       // how long to serve on after /readyz turned off
	LogLevel    slog.Level         `env:"LOG_LEVEL" envDefault:"info"`
}

// Routes makes the routes of a service on its database, and the check that says
// whether it can work.
type Routes func(context.Context, *database.DB, rest.Service) (*rest.Router, func(context.Context) error, error)

// Main runs the service called name, built for the schema, until SIGINT or
// SIGTERM and gives its exit code: 0 after a graceful stop, 1 after a failure, 2
// for a wrong environment. What only this service is told by its environment goes to more, pointers to
// structs like Config.
func Main(name string, built schema.Schema, routes Routes, more ...any) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := env.ParseAs[Config]()
	for _, further := range more {
		err = errors.Join(err, env.Parse(further))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	if config.ServiceName == "" {
		config.ServiceName = name
	}
	if err := run(ctx, config, built, routes); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Go sweeps when what was made since the last time is as much as what is in use: with
// one to some megabytes in use that is many times a second, and each sweep holds up
// whoever comes meanwhile for milliseconds. ballast counts as used, so that there is
// always room for as much garbage again; never touched, it takes no memory of the
// machine. A limit of memory would bound the garbage too, but sweep without end once
// what is in use comes near it. Who sets GOGC or GOMEMLIMIT gets Go's own ways.
const room = 16 << 20 // bytes

func ballast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, room)
}

// uploadGrace is how long uploads may go on when everything else stops: small
// ones end well, large ones are cut off while there is time to say so.
const uploadGrace = 5 * time.Second

// uploads gives a context that ends when uploads have to.
func uploads(ctx context.Context, drain time.Duration) context.Context {
	until, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(drain+uploadGrace, end) })
	return until
}

func run(ctx context.Context, config Config, built schema.Schema, routes Routes) error {
	defer runtime.KeepAlive(ballast())
	logging.Start(os.Stderr, config.ServiceName, config.LogLevel)
	stopTracing, err := tracing.Start(ctx, config.ServiceName)
	if err != nil {
		return err
	}
	defer stopTracing(context.WithoutCancel(ctx)) //nolint:errcheck // the last traces are not worth a failed stop
	keys, err := apikey.Open(config.APIKeysFile)
	if err != nil {
		return err
	}
	db, err := database.Open(ctx, config.DatabaseURL, config.ServiceName)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := prometheus.Register(db.Collector()); err != nil {
		return fmt.Errorf("metrics of the connection pool: %w", err)
	}
	log, err := requestlog.Start(requestlog.Config{
		Service: config.ServiceName, URL: config.LoggerURL, Key: config.LoggerKey,
		SpillDir: config.SpillDir, SpillBytes: config.SpillBytes,
	})
	if err != nil {
		return err
	}
	defer log.Stop(context.WithoutCancel(ctx))
	if err := prometheus.Register(log.Collector()); err != nil {
		return fmt.Errorf("metrics of the request log: %w", err)
	}
	if err := prometheus.Register(buildInfo{}); err != nil {
		return fmt.Errorf("metric of the build: %w", err)
	}

	router, ready, err := routes(ctx, db, rest.Service{
		Keys:     oidctoken.New(ctx, keys, config.OIDC),
		Log:      log,
		Limit:    ratelimit.New(config.RateLimit),
		Stopping: uploads(ctx, config.Drain),
	})
	if err != nil {
		return err
	}
	return httpserver.Server{
		Addr:      config.ListenAddr,
		AdminAddr: config.AdminAddr,
		Handler:   router.Handler(),
		Checks: []httpserver.Check{
			{Name: "postgres", Of: ready},
			{Name: "schema", Of: func(ctx context.Context) error { return built.Check(ctx, db) }},
		},
		Drain: config.Drain,
	}.Run(ctx)
}
