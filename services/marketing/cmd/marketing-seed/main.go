// Command marketing-seed fills the marketing database with fake data.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/internal/seeding"
	"github.com/datameesh/datameesh/services/marketing/seed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(seeding.Main(ctx, seed.Domain, os.Args[1:], os.Stdout, os.Stderr))
}
