package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
)

func newDownCommand() *cobra.Command {
	var volumes bool
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop the mesh",
		Long: `Stops the mesh in the reverse order of its dependencies. Data, secrets and
downloads stay; --volumes removes data and secrets, never the downloads.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := state.Find()
			if err != nil {
				return err
			}
			if _, err := os.Stat(string(d)); errors.Is(err, os.ErrNotExist) {
				say(os.Stderr, "Nothing runs, and there is no mesh in %s.", d)
				return nil
			}
			unlock, err := lockMesh(c.Context(), d, "meesh down", os.Stderr)
			if err != nil {
				return err
			}
			defer unlock()
			if err := stopMesh(c.Context(), d, os.Stderr); err != nil {
				return err
			}
			if err := stopNotebooks(c.Context(), d, os.Stderr); err != nil {
				return err
			}
			if !volumes {
				return nil
			}
			if err := removeState(c.Context(), d, os.Stderr); err != nil {
				return err
			}
			say(os.Stderr, "Removed all data and secrets of the mesh; downloads are kept.")
			return nil
		},
	}
	c.Flags().BoolVar(&volumes, "volumes", false, "also remove data and secrets, for good")
	return c
}

// stopMesh stops everything that runs, and says what it did.
func stopMesh(ctx context.Context, d state.Dir, log io.Writer) error {
	err := control.NewClient(d).Stop(ctx)
	if err == nil {
		// The lock is free when the supervisor has ended.
		unlock, err := control.Lock(ctx, supervisorLock(d), strconv.Itoa(os.Getpid()), func(string) {})
		if err != nil {
			return err
		}
		unlock()
		say(log, "Stopped.")
		return nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if _, err := os.Stat(d.Run()); errors.Is(err, os.ErrNotExist) {
		say(log, "Nothing runs.")
		return nil
	}
	// Its supervisor may have been killed, and its components gone on.
	unlock, err := control.Lock(ctx, supervisorLock(d), strconv.Itoa(os.Getpid()), func(holder string) {
		say(log, "The supervisor (process %s) is about to end; waiting for it.", holder)
	})
	if err != nil {
		return err
	}
	defer unlock()
	left, err := supervise.Recorded(d.Run())
	if err != nil {
		return err
	}
	s := supervise.New(d.Run(), supervise.DefaultTiming, slog.New(slog.DiscardHandler))
	_, err = s.Reconcile(nil)
	s.Stop()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		say(log, "Stopped %d components whose supervisor had been killed.", len(left))
	} else {
		say(log, "Nothing runs.")
	}
	return nil
}
