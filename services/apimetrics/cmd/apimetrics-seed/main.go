// Command apimetrics-seed fills an API metrics database with fake request logs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/apimetrics/seed"
	"github.com/datameesh/datameesh/services/internal/seeding"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	domain, err := seed.Domain(os.Getenv("SERVICE_NAME")) // the API whose requests are made up
	if err != nil {
		fmt.Fprintln(os.Stderr, "apimetrics-seed:", err)
		os.Exit(2)
	}
	os.Exit(seeding.Main(ctx, domain, os.Args[1:], os.Stdout, os.Stderr))
}
