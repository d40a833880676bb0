package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
)

// newRootCommand lists all commands.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "meesh",
		Short: "Run a data mesh on this machine",
		Long: `meesh runs a data mesh on this machine: domain services with their databases,
and Trino, which joins them.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 a check
failed, 2 wrong usage, 3 something needed cannot be reached, 130 interrupted.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.AddCommand(
		newUpCommand(),
		newStatusCommand(),
		newDownCommand(),
		newLogsCommand(),
		newDoctorCommand(),
		newSeedCommand(),
		newSimulateCommand(),
		newQueryCommand(),
		newDemoCommand(),
		newDBTCommand(),
		newExportCommand(),
		newCompactCommand(),
		newStatsCommand(),
		newReportCommand(),
		newTourCommand(),
		newGrafanaCommand(),
		newCredentialsCommand(),
		newUserCommand(),
		newCACommand(),
		newSourceCommand(),
		newAuditCommand(),
		newKubernetesCommand(),
		// What meesh runs itself:
		newSuperviseCommand(),
		newInitServerCommand(),
		newBootstrapCommand(),
		newObjectStoreKeysCommand(),
		newMetastoreSchemaCommand(),
		newDBTBuildCommand(),
		newDBTDocsCommand(),
		newDBTRefreshCommand(),
		newGrafanaPeopleCommand(),
	)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(c, err)
	})
	return root
}

// Main runs the command line and returns the exit code of the program.
func Main(ctx context.Context, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := codeOf(ctx, err)
	if said, ok := errors.AsType[*exitError](err); ok && said.err == nil {
		return code
	}
	if code != exitInterrupted || !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "meesh: "+err.Error())
	}
	return code
}

// codeOf finds the exit code for an error.
func codeOf(ctx context.Context, err error) int {
	if withCode, ok := errors.AsType[*exitError](err); ok {
		return withCode.code
	}
	if _, denied := errors.AsType[*control.PermissionError](err); denied {
		return exitUnreachable
	}
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, control.ErrNotRunning), errors.Is(err, state.ErrNoMesh), errors.Is(err, secrets.ErrNone):
		return exitUnreachable
	// cobra has no type for these two.
	case strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		return exitUsage
	}
	return exitFailed
}

// usageError is wrong usage of a command.
func usageError(c *cobra.Command, err error) error {
	return &exitError{exitUsage, fmt.Errorf("%w; see: %s --help", err, c.CommandPath())}
}

// args makes wrong arguments wrong usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usageError(c, err)
		}
		return nil
	}
}

// self is how the caller called this program, for hints that can be typed.
func self() string {
	if strings.Contains(os.Args[0], "/") && !filepath.IsAbs(os.Args[0]) {
		return os.Args[0]
	}
	return "meesh"
}

// say writes one line for people.
func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
