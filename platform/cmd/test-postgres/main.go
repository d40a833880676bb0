// Command test-postgres runs a command with a PostgreSQL server of its own.
//
//	test-postgres COMMAND [ARGUMENT...]
//
// The command finds the URL of the server's superuser in TEST_DATABASE_URL. The
// server lives in a temporary folder, keeps nothing on disk safe, and ends with
// the command, also when this program is killed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/datameesh/datameesh/platform/fetch"
)

// serveArgument makes the program the server's side of itself.
const serveArgument = "--serve"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := realMain(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "test-postgres:", err)
	}
	os.Exit(code)
}

func realMain(ctx context.Context, args []string) (code int, err error) {
	switch {
	case len(args) == 0:
		return 2, errors.New("say which command to run: test-postgres COMMAND [ARGUMENT...]")
	case args[0] == serveArgument && len(args) == 3:
		if err := serve(args[1], args[2], os.Stdin, os.Stdout); err != nil {
			return 1, err
		}
		return 0, nil
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		return 3, err
	}
	binaries, err := fetch.PostgreSQL(ctx, cache, fetch.NewPrinter(os.Stderr).Report)
	if err != nil {
		return 3, err
	}
	server, err := start(context.WithoutCancel(ctx), binaries)
	if err != nil {
		return 3, err
	}
	code, err = run(ctx, server.url, args)
	return code, errors.Join(err, server.stop())
}

// run runs the command and gives its exit code.
func run(ctx context.Context, url string, args []string) (int, error) {
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), "TEST_DATABASE_URL="+url)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	err := command.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) && ctx.Err() == nil {
		return max(failed.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return 0, nil
}

// A server is the other side of this program, running.
type server struct {
	url     string
	folder  string
	process *exec.Cmd
	stdin   io.Closer // closed: the server stops
}
