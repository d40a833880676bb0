// Command marketing-migrate moves the marketing database from one schema version to another.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/internal/migrate"
	"github.com/datameesh/datameesh/services/marketing/migrations"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(migrate.Main(ctx, "marketing-migrate", os.Args[1:], migrations.Files, os.Stdout, os.Stderr))
}
