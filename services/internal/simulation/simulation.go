// Package simulation is the program that keeps a service's data alive with made-up requests to its API.
package simulation

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/time/rate"

	"github.com/datameesh/datameesh/services/internal/rowrand"
)

// maxRate bounds --rate: requests are sent one after the other, so that the same
// seed gives the same sequence.
const maxRate = 1000

// A Script decides what is sent.
type Script struct {
	Program string // "sales-simulate"
	// Start looks at what the API holds and gives the function that sends one
	// request. Its choices come from the seed and from answers alone.
	Start func(ctx context.Context, api *API, seed int64) (Step, error)
}

// A Step sends one request.
type Step func(ctx context.Context, random *rowrand.Stream) error

type options struct {
	rate   float64
	seed   int64
	length time.Duration
}

// errUsage marks wrong usage, exit code 2.
var errUsage = errors.New("wrong usage")

// Main runs the script with args until --for is over or ctx ends, and gives the
// exit code: 0 done, 1 requests failed, 2 wrong usage, 3 the API did not answer
// once, 130 interrupted.
func Main(ctx context.Context, script Script, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(script, args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v; see %s --help\n", script.Program, err, script.Program)
		return 2
	}
	running := ctx
	if opts.length > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeout(ctx, opts.length)
		defer cancel()
	}
	api := newAPI(script.Program, os.Getenv("API_URL"), os.Getenv("API_KEY"), stderr)
	fmt.Fprintf(stderr, "%s: %g requests/s to %s, seed %d\n", script.Program, opts.rate, api.url, opts.seed)
	err = run(running, script, api, opts)
	api.summary(stderr)
	switch {
	case err != nil && running.Err() == nil:
		fmt.Fprintf(stderr, "%s: %v\n", script.Program, err)
		return 1
	case ctx.Err() != nil:
		return 130
	case api.answers == 0:
		fmt.Fprintf(stderr, "%s: %s did not answer once; is the service up, and API_URL right?\n", script.Program, api.url)
		return 3
	case api.failed > 0:
		return 1
	}
	return 0
}

// run sends requests until ctx ends.
func run(ctx context.Context, script Script, api *API, opts options) error {
	step, err := script.Start(ctx, api, opts.seed)
	if err != nil {
		return err
	}
	// One token at most: what an outage held back is not sent in a burst.
	pace := rate.NewLimiter(rate.Limit(opts.rate), 1)
	for n := int64(1); ; n++ {
		if err := pace.Wait(ctx); err != nil {
			return nil //nolint:nilerr // the time is over, or will be before the next request
		}
		if err := step(ctx, rowrand.Of(opts.seed, script.Program, n)); err != nil {
			if ctx.Err() != nil || errors.Is(err, errRefusedKey) {
				return err
			}
			api.report(err)
		}
	}
}

func parse(script Script, args []string, help io.Writer) (options, error) {
	var random [8]byte
	rand.Read(random[:]) //nolint:errcheck // never fails
	opts := options{}
	flags := flag.NewFlagSet(script.Program, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Float64Var(&opts.rate, "rate", 5, "requests per second")
	flags.Int64Var(&opts.seed, "seed", int64(binary.LittleEndian.Uint64(random[:])>>33), "the same `number` gives the same sequence of requests on the same data; default: another each time")
	flags.DurationVar(&opts.length, "for", 0, "end after this `duration` (30s, 10m, 2h); 0: run until interrupted")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(help, "%s sends made-up requests to the API, so that its data stays alive.\n\nEnvironment: API_URL (http://HOST:PORT), API_KEY (a key that may read and write).\nExit codes: 0 done, 1 requests failed, 2 wrong usage, 3 API not reached, 130 interrupted.\n\n", script.Program)
		flags.SetOutput(help)
		flags.VisitAll(func(f *flag.Flag) {
			if f.Name == "seed" {
				f.DefValue = "0" // not the one just drawn
			}
		})
		flags.PrintDefaults()
		return opts, err
	}
	switch {
	case err != nil:
		return opts, fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		return opts, fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	case !(opts.rate > 0 && opts.rate <= maxRate): // NaN too
		return opts, fmt.Errorf("%w: --rate must be more than 0 and at most %d", errUsage, maxRate)
	case opts.length < 0:
		return opts, fmt.Errorf("%w: --for must not be negative", errUsage)
	}
	for _, name := range []string{"API_URL", "API_KEY"} {
		if os.Getenv(name) == "" {
			return opts, fmt.Errorf("%w: %s is not set; set API_URL to http://HOST:PORT and API_KEY to a key of the API", errUsage, name)
		}
	}
	return opts, nil
}
