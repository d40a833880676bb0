// Command marketing-ingest serves the marketing ingest API.
package main

import (
	"context"
	"os"

	"github.com/datameesh/datameesh/services/internal/database"
	"github.com/datameesh/datameesh/services/internal/rest"
	"github.com/datameesh/datameesh/services/internal/schema"
	"github.com/datameesh/datameesh/services/internal/service"
	"github.com/datameesh/datameesh/services/marketing/ingest"
	"github.com/datameesh/datameesh/services/marketing/migrations"
	"github.com/datameesh/datameesh/services/marketing/postgres"
)

func main() {
	os.Exit(service.Main("marketing-ingest", schema.Schema{Migrator: "marketing-migrate", Files: migrations.Files}, func(_ context.Context, db *database.DB, s rest.Service) (*rest.Router, func(context.Context) error, error) {
		store := postgres.New(db)
		router, err := ingest.Routes(store, s)
		return router, store.Ready, err
	}))
}
