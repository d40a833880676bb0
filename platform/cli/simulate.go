package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/local"
)

type simulateOptions struct {
	rate   float64
	seed   int64
	length time.Duration
}

func newSimulateCommand() *cobra.Command {
	var o simulateOptions
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Keep the data of the running mesh alive until Ctrl-C",
		Long: `Sends made-up requests to the APIs of all domains: customers register, order
and pay, leads come in and convert. Some leads become customers.

While it runs, as_of in mesh_meta of each database is the midnight UTC to come,
so that figures which count back from as_of include the new data. The golden
figures of "meesh demo" no longer hold afterwards; "meesh seed --force" brings
them back.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("seed") {
				o.seed = int64(rand.Uint32())
			}
			return runSimulate(c, o)
		},
	}
	c.Flags().Float64Var(&o.rate, "rate", 5, "requests per second to each API")
	c.Flags().Int64Var(&o.seed, "seed", 0, "the same number gives the same requests on the same data (default another each time)")
	c.Flags().DurationVar(&o.length, "for", 0, "end after this time, like 30s or 10m (default run until Ctrl-C)")
	return c
}

func runSimulate(c *cobra.Command, o simulateOptions) error {
	if !(o.rate > 0 && o.rate <= 1000) { // NaN too
		return usageError(c, errors.New("--rate must be more than 0 and at most 1000"))
	}
	if o.length < 0 {
		return usageError(c, errors.New("--for must not be negative"))
	}
	mesh, err := openMesh()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.Context())
	defer stop()
	if _, err := control.NewClient(mesh.dir).Status(ctx); err != nil {
		return err
	}
	a, err := account.Look(string(mesh.dir))
	if err != nil {
		return err
	}
	if err := local.MoveAsOf(ctx, mesh.dir, mesh.mesh, mesh.secrets, time.Now()); err != nil {
		if _, away := errors.AsType[*pgconn.ConnectError](err); away && ctx.Err() == nil {
			return &exitError{exitUnreachable, err}
		}
		return err
	}
	args := []string{
		"--rate", strconv.FormatFloat(o.rate, 'g', -1, 64),
		"--seed", strconv.FormatInt(o.seed, 10), // one for all: leads become customers
		"--for", o.length.String(),
	}
	var running sync.WaitGroup
	failures := make(chan error, len(local.Domains))
	for _, domain := range local.Domains {
		name := domain.SimulateProgram()
		if name == "" {
			continue
		}
		path, env, err := local.SimulateCommand(mesh.dir, mesh.mesh, mesh.secrets, domain)
		if err != nil {
			stop()
			running.Wait()
			return err
		}
		running.Go(func() {
			if err := runAlong(ctx, a, path, args, env); err != nil {
				failures <- fmt.Errorf("%s: %w", name, err)
				stop() // one alone would make a picture that is not true
			}
		})
	}
	days := make(chan error, 1)
	go func() { days <- keepAsOf(ctx, mesh) }()
	running.Wait()
	stop()
	err = <-days
	close(failures)
	for failure := range failures {
		if err == nil || errors.Is(err, context.Canceled) {
			err = failure // the first; the others were stopped for it
		}
	}
	if err == nil {
		say(os.Stderr, "Simulated. Next: %s query \"SELECT status, count(*) FROM sales.public.orders GROUP BY 1\"", self())
	}
	return err
}

// keepAsOf moves as_of at every midnight UTC until ctx ends.
func keepAsOf(ctx context.Context, mesh *startedMesh) error {
	for {
		midnight := local.NextDay(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(midnight)):
		}
		if err := local.MoveAsOf(ctx, mesh.dir, mesh.mesh, mesh.secrets, midnight); err != nil && ctx.Err() == nil {
			// A database may be restarting; the simulators wait for it too.
			say(os.Stderr, "meesh simulate: %v; trying again in a minute", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Minute):
			}
			if err := local.MoveAsOf(ctx, mesh.dir, mesh.mesh, mesh.secrets, midnight); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
