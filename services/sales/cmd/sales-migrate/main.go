// Command sales-migrate moves the sales database from one schema version to another.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/internal/migrate"
	"github.com/datameesh/datameesh/services/sales/migrations"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(migrate.Main(ctx, "sales-migrate", os.Args[1:], migrations.Files, os.Stdout, os.Stderr))
}
