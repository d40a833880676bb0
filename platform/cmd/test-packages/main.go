// Command test-packages fetches what the unit tests of platform unpack, before
// them: under the race detector unpacking Trino takes ten times as long. Exit
// codes: 0 all is there, 3 something cannot be reached, 130 interrupted.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/datameesh/datameesh/platform/fetch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := realMain(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "test-packages:", err)
	if ctx.Err() != nil {
		os.Exit(130)
	}
	os.Exit(3)
}

func realMain(ctx context.Context) error {
	cache, err := fetch.CacheDir()
	if err != nil {
		return err
	}
	report := fetch.NewPrinter(os.Stderr).Report
	if _, err := fetch.Trino(ctx, cache, report); err != nil {
		return err
	}
	_, err = fetch.Lake(ctx, cache, fetch.VersityGW, report)
	return err
}
