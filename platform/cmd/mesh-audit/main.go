// Command mesh-audit keeps the record of who did what in the mesh.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/audit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx))
}

// realMain exits with 2 for a wrong configuration and 1 when it cannot go on.
func realMain(ctx context.Context) int {
	config, token, key, err := audit.Load()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh-audit:", err)
		return 2
	}
	if err := audit.Run(ctx, config, token, key, slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "mesh-audit:", err)
		return 1
	}
	return 0
}
