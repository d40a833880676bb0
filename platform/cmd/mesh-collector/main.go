// Command mesh-collector writes figures of the platform into sales_analytics.ops every minute.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/collector"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx))
}

// realMain exits with 2 for a wrong configuration and 1 when it cannot go on.
func realMain(ctx context.Context) int {
	config, err := collector.Load(os.Getenv("COLLECTOR_CONFIG"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh-collector:", err)
		return 2
	}
	if err := collector.Run(ctx, config, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "mesh-collector:", err)
		return 1
	}
	return 0
}
