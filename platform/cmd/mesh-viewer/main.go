// Command mesh-viewer serves the dashboards as read-only pages and mails the weekly reports.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/viewer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx))
}

// realMain exits with 2 for a wrong configuration and 1 when it cannot go on.
func realMain(ctx context.Context) int {
	config, err := viewer.FromEnv(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh-viewer:", err)
		return 2
	}
	if err := viewer.Run(ctx, config, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "mesh-viewer:", err)
		return 1
	}
	return 0
}
