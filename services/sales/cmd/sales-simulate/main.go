// Command sales-simulate keeps the sales data alive through the Sales API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/services/internal/simulation"
	"github.com/datameesh/datameesh/services/sales/simulate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(simulation.Main(ctx, simulate.Script, os.Args[1:], os.Stdout, os.Stderr))
}
