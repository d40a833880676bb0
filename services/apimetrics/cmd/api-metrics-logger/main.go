// Command api-metrics-logger receives the request logs of an API and answers its metrics.
package main

import (
	"context"
	"os"

	"github.com/datameesh/datameesh/services/apimetrics/collect"
	"github.com/datameesh/datameesh/services/apimetrics/migrations"
	"github.com/datameesh/datameesh/services/apimetrics/postgres"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/schema"
	"github.com/datameesh/datameesh/services/internal/service"
)

func main() {
	var config struct {
		// How long request logs and the metrics rolled up from them are kept.
		Logs    postgres.Days `env:"RETENTION_DAYS" envDefault:"30"`
		Metrics postgres.Days `env:"METRICS_RETENTION_DAYS" envDefault:"400"`
	}
	os.Exit(service.Main("api-metrics-logger", schema.Schema{Migrator: "apimetrics-migrate", Files: migrations.Files}, func(ctx context.Context, db *database.DB, s rest.Service) (*rest.Router, func(context.Context) error, error) {
		store := postgres.New(db)
		go store.Tidy(ctx, postgres.Retention{Logs: config.Logs, Metrics: config.Metrics})
		router, err := collect.Routes(store, s)
		return router, store.Ready, err
	}, &config))
}
