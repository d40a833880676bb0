// Command api-metrics-logger receives the request logs of an API and answers its metrics.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/datameesh/datameesh/services/apimetrics/collect"
	"github.com/datameesh/datameesh/services/apimetrics/postgres"
	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/service"
)

func main() {
	os.Exit(service.Main("api-metrics-logger", func(ctx context.Context, db *database.DB, s rest.Service) (*rest.Router, func(context.Context) error, error) {
		store := postgres.New(db)
		if err := store.MakePartitions(ctx); err != nil {
			slog.WarnContext(ctx, "partitions not made; the first batch makes them", "error", err)
		}
		router, err := collect.Routes(store, s)
		return router, store.Ready, err
	}))
}
