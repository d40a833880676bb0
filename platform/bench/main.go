// Command bench measures the services against other programs that do the same work.
//
//	bench [-only ID[,ID]] [-short] [-out FOLDER]
//
// It runs the programs in bin/ with their default configuration (authentication,
// request log, metrics; the rate limit is raised, not removed) on a durable
// PostgreSQL of its own. Each claim is a ratio inside one round; rounds alternate
// between the two sides, and the median of all rounds counts: other work on the
// machine hits both sides. Three claims are no ratios: memory, dbt-build, and
// page-queries, which starts a whole mesh with the load data and its marts. Exit codes: 0 all floors are held, 1 one is not, 2
// wrong usage, 3 something needed cannot be reached, 130 interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == peerArgument {
		os.Exit(code(ctx, servePeer(ctx, os.Args[2])))
	}
	debug.SetGCPercent(lazy)
	os.Exit(code(ctx, realMain(ctx, os.Args[1:])))
}

// lazy is how much garbage this program lets grow: it shares the processors with what
// it measures, and its own pauses are nobody's latency.
const lazy = 1000

var (
	errUsage     = errors.New("wrong usage")
	errFloor     = errors.New("a claim is below its floor")
	errUnreached = errors.New("something needed cannot be reached")
)

func code(ctx context.Context, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	switch {
	case ctx.Err() != nil:
		return 130
	case errors.Is(err, errUsage):
		return 2
	case errors.Is(err, errUnreached):
		return 3
	}
	return 1
}

type options struct {
	only  []string
	short bool
	bin   string
	out   string
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	only := flags.String("only", "", "measure these claims alone: `ID[,ID]`")
	flags.BoolVar(&o.short, "short", false, "few short rounds on few rows: shows that everything runs, proves nothing")
	flags.StringVar(&o.bin, "bin", "bin", "`folder` of the services' programs")
	flags.StringVar(&o.out, "out", "", "`folder` for benchmarks.json and benchmarks.md (default docs, or none with -only or -short)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Println("bench measures the services against other programs that do the same work.")
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
		for _, c := range claims {
			fmt.Printf("  %-20s %s, against %s\n", c.ID, c.Title, c.Against)
		}
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, id := range o.only {
		if !slices.ContainsFunc(claims, func(c claim) bool { return c.ID == id }) {
			return o, fmt.Errorf("%w: no claim is called %q; bench -h lists them", errUsage, id)
		}
	}
	if o.out == "" && !o.short && o.only == nil {
		o.out = "docs"
	}
	return o, nil
}

func realMain(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	began := time.Now()
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	results, err := r.measureAll(ctx)
	if err != nil {
		return err
	}
	report := report{Versions: r.versions(ctx), Machine: machine(began), Claims: results}
	fmt.Print(report.table())
	if o.out != "" {
		if err := report.write(o.out); err != nil {
			return err
		}
	}
	if below := report.below(); len(below) > 0 {
		return fmt.Errorf("%w: %s", errFloor, strings.Join(below, ", "))
	}
	return nil
}

// say tells how far the run is.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
