// Command sales-api serves the Sales API.
package main

import (
	"context"
	"os"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/schema"
	"github.com/datameesh/datameesh/services/internal/service"
	"github.com/datameesh/datameesh/services/sales/api"
	"github.com/datameesh/datameesh/services/sales/migrations"
	"github.com/datameesh/datameesh/services/sales/postgres"
)

func main() {
	os.Exit(service.Main("sales-api", schema.Schema{Migrator: "sales-migrate", Files: migrations.Files}, func(_ context.Context, db *database.DB, s rest.Service) (*rest.Router, func(context.Context) error, error) {
		store := postgres.New(db)
		router, err := api.Routes(store, s)
		return router, store.Ready, err
	}))
}
