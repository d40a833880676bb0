package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

func newSeedCommand() *cobra.Command {
	var o seedOptions
	var force bool
	c := &cobra.Command{
		Use:   "seed",
		Short: "Fill the databases of all domains with made-up data",
		Long: `Runs the seeders of all domains on the running mesh. Databases that hold data
are refused unless --force is given, which replaces all of it. Scale, seed and
day are those of the mesh unless given.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return runSeed(c, o, force) },
	}
	o.flags(c)
	c.Flags().BoolVar(&force, "force", false, "replace the data that is there")
	return c
}

func runSeed(c *cobra.Command, o seedOptions, force bool) error {
	ctx := c.Context()
	d, err := state.Find()
	if err != nil {
		return err
	}
	m, err := state.Load(d)
	if err != nil {
		return err
	}
	before := m
	if err := o.apply(c, &m, false); err != nil {
		return err
	}
	if _, err := control.NewClient(d).Status(ctx); err != nil {
		return err
	}
	unlock, err := lockMesh(ctx, d, "meesh seed", os.Stderr)
	if err != nil {
		return err
	}
	defer unlock()
	store, err := secrets.Open(d.Secrets())
	if err != nil {
		return err
	}
	a, err := account.Look(string(d))
	if err != nil {
		return err
	}
	if force && !reflect.DeepEqual(m, before) {
		// First, so that the next "up" continues this seeding if it is
		// interrupted, and not the one before.
		if err := state.Save(d, m); err != nil {
			return err
		}
	}
	var more []string
	if force {
		more = []string{"--force"}
	}
	for _, domain := range local.Domains {
		say(os.Stderr, "%s:", domain.Database)
		path, args, env, err := local.SeedCommand(d, m, store, domain, more...)
		if err != nil {
			return err
		}
		if err := runAlong(ctx, a, path, args, env); err != nil {
			return fmt.Errorf("seed %s: %w", domain.Database, err)
		}
	}
	say(os.Stderr, "Seeded. Next: %s demo", self())
	return nil
}

// runAlong runs a program of a domain as a part of this command.
func runAlong(ctx context.Context, a account.Account, path string, args, env []string) error {
	return runAlongTo(ctx, a, path, args, env, os.Stdout, os.Stderr)
}

func runAlongTo(ctx context.Context, a account.Account, path string, args, env []string, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(env, "NO_COLOR="+os.Getenv("NO_COLOR"), "TERM="+os.Getenv("TERM"))
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A group of its own: at Ctrl-C it gets one signal, from here.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.Credential(), Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		// It has said why.
		return &exitError{exit.ExitCode(), fmt.Errorf("ended with exit code %d", exit.ExitCode())}
	}
	return err
}
