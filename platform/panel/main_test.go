//go:build mesh

package panel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/meshrun"
	"github.com/datameesh/datameesh/platform/state"
)

// TestMain starts a mesh unless $MEESH_HOME names one.
func TestMain(m *testing.M) {
	if os.Getenv(state.HomeVariable) != "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := onOwnMesh(ctx, m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func onOwnMesh(ctx context.Context, m *testing.M) (code int, err error) {
	began := time.Now()
	mesh, err := meshrun.Up(ctx, "../../bin")
	if mesh != nil {
		defer func() { err = errors.Join(err, mesh.Down()) }()
	}
	if err != nil {
		return 1, err
	}
	if _, err := mesh.Run(ctx, "export"); err != nil { // else the lake has no tables to show
		return 1, err
	}
	// The collector writes every minute.
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for collected := false; !collected; {
		out, err := mesh.Run(ctx, "query", "-o", "csv", "SELECT count(*) > 0 FROM sales_analytics.ops.lake")
		if err != nil {
			return 1, err
		}
		if collected = strings.Contains(out, "true"); collected {
			break
		}
		if time.Since(began) > 20*time.Minute {
			return 1, errors.New("the collector writes nothing about the lake")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 1, ctx.Err()
		}
	}
	fmt.Fprintf(os.Stderr, "a mesh with marts and figures: after %s\n", time.Since(began).Round(time.Second))
	if err := os.Setenv(state.HomeVariable, string(mesh.Home)); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
