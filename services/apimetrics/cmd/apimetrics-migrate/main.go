// Command apimetrics-migrate moves the API metrics database from one schema version to another.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/apimetrics/migrations"
	"github.com/datameesh/datameesh/services/internal/migrate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(migrate.Main(ctx, "apimetrics-migrate", os.Args[1:], migrations.Files, os.Stdout, os.Stderr))
}
