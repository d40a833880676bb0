// Command api-metrics-logger receives the request logs of an API and answers its metrics.
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

	"github.com/datameesh/datameesh/services/apimetrics/collect"
	"github.com/datameesh/datameesh/services/apimetrics/postgres"
	"github.com/datameesh/datameesh/services/internal/apikey"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/httpserver"
	"github.com/datameesh/datameesh/services/internal/logging"
	"github.com/datameesh/datameesh/services/internal/ratelimit"
	"github.com/datameesh/datameesh/services/internal/rest"
)

// Config is the environment of the program.
type Config struct {
	ServiceName string        `env:"SERVICE_NAME" envDefault:"api-metrics-logger"`
	ListenAddr  string        `env:"LISTEN_ADDR" envDefault:"127.0.0.1:30084"`
	AdminAddr   string        `env:"ADMIN_ADDR"`
	DatabaseURL string        `env:"DATABASE_URL,required,notEmpty"` // the password comes from PGPASSWORD
	APIKeysFile string        `env:"API_KEYS_FILE,required,notEmpty"`
	RateLimit   int           `env:"RATE_LIMIT" envDefault:"200"` // requests per second and API key
	Drain       time.Duration `env:"DRAIN" envDefault:"0s"`
	LogLevel    slog.Level    `env:"LOG_LEVEL" envDefault:"info"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := realMain(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "api-metrics-logger:", err)
		os.Exit(1)
	}
}

func realMain(ctx context.Context) error {
	config, err := env.ParseAs[Config]()
	if err != nil {
		return err
	}
	logging.Start(os.Stderr, config.ServiceName, config.LogLevel)
	keys, err := apikey.Open(config.APIKeysFile)
	if err != nil {
		return err
	}
	db, err := database.Open(ctx, config.DatabaseURL, config.ServiceName)
	if err != nil {
		return err
	}
	defer db.Close()

	store := postgres.New(db)
	if err := store.MakePartitions(ctx); err != nil {
		slog.Warn("partitions not made; the first batch makes them", "error", err)
	}
	routes, err := collect.Routes(store, rest.Service{Keys: keys, Limit: ratelimit.New(config.RateLimit)})
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
