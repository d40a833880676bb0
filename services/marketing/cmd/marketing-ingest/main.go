// Command marketing-ingest serves the marketing ingest API.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/httpserver"
	"github.com/datameesh/datameesh/services/internal/logging"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/requestlog"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/tracing"
	"github.com/datameesh/datameesh/services/marketing/ingest"
	"github.com/datameesh/datameesh/services/marketing/postgres"
)

// Config is the environment of the program.
type Config struct {
	ServiceName string        `env:"SERVICE_NAME" envDefault:"marketing-ingest"`
	ListenAddr  string        `env:"LISTEN_ADDR" envDefault:"127.0.0.1:30083"`
	AdminAddr   string        `env:"ADMIN_ADDR"`
	DatabaseURL string        `env:"DATABASE_URL,required,notEmpty"` // the password comes from PGPASSWORD
	APIKeysFile string        `env:"API_KEYS_FILE,required,notEmpty"`
	LoggerURL   string        `env:"LOGGER_URL"` // empty: no request log
	LoggerKey   string        `env:"LOGGER_KEY"`
	RateLimit   int           `env:"RATE_LIMIT" envDefault:"200"` // requests per second and API key
	Drain       time.Duration `env:"DRAIN" envDefault:"0s"`
	LogLevel    slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := realMain(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "marketing-ingest:", err)
		os.Exit(1)
	}
}

func realMain(ctx context.Context) error {
	config, err := env.ParseAs[Config]()
	if err != nil {
		return err
	}
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
	log := requestlog.Start(config.ServiceName, config.LoggerURL, config.LoggerKey)
	defer log.Stop(context.WithoutCancel(ctx))

	store := postgres.New(db)
	routes, err := ingest.Routes(store, rest.Service{Keys: keys, Log: log, Limit: ratelimit.New(config.RateLimit)})
	if err != nil {
		return err
	}
	return httpserver.Server{
		Addr:      config.ListenAddr,
		AdminAddr: config.AdminAddr,
		Handler:   routes.Handler(),
		Checks:    []httpserver.Check{{Name: "postgres", Of: store.Ready}},
		Drain:     config.Drain,
	}.Run(ctx)
}
