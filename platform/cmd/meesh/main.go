// Command meesh runs a data mesh on this machine and asks it questions.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Args[1:]))
}
