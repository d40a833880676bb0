package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/preflight"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
)

func newDoctorCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check the machine and the mesh, and say how to mend what is wrong",
		Long:  "Checks the machine and the mesh. Exit code 1 when something is wrong.",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := query.NewWriter(format, c.OutOrStdout())
			if err != nil {
				return usageError(c, err)
			}
			checks, err := diagnose(c.Context())
			if err != nil {
				return err
			}
			if format == "table" {
				writeChecks(c, checks)
			} else if err := writeFindings(out, checks); err != nil {
				return err
			}
			if preflight.Failed(checks) {
				return errors.New("something is wrong; each line that begins with ✗ says how to mend it")
			}
			say(os.Stderr, "All is well.")
			return nil
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "format: "+strings.Join(query.Formats, ", "))
	return c
}

// diagnose makes all checks of the machine, then of the mesh.
func diagnose(ctx context.Context) ([]preflight.Check, error) {
	d, err := state.Find()
	if err != nil {
		return nil, err
	}
	if err := checkOwner(d); err != nil {
		return nil, err
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		return nil, err
	}
	m, err := state.Load(d)
	if errors.Is(err, state.ErrNoMesh) { // what "up" would start
		var kind objectstore.Kind
		kind, err = objectstore.ParseKind(os.Getenv(objectstore.Variable))
		m = state.Mesh{Profile: state.ProfileFull, ObjectStore: string(kind)}
	}
	if err != nil {
		return nil, err
	}
	components, runErr := componentsOf(ctx, d)
	running := map[string]bool{}
	for _, c := range components {
		running[c.Name] = c.PID != 0
	}
	in := preflightInput(d, m, cache, running)
	in.Build = true
	checks := preflight.Run(ctx, in)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if m.Lake() {
		checks = append(checks, checkGrafana(ctx, m, cache))
	}
	return append(checks, checkMesh(components, runErr)...), nil
}

// checkMesh turns what the supervisor says into findings.
func checkMesh(components []supervise.Status, runErr error) []preflight.Check {
	switch {
	case errors.Is(runErr, control.ErrNotRunning) && len(components) == 0:
		return []preflight.Check{{Name: "mesh", OK: true, Found: "not running"}}
	case errors.Is(runErr, control.ErrNotRunning):
		return []preflight.Check{{
			Name: "mesh", Found: fmt.Sprintf("%d components run without a supervisor, which was killed", len(components)),
			Fix: self() + " up takes them over, " + self() + " down ends them.",
		}}
	case runErr != nil:
		return []preflight.Check{{Name: "mesh", Found: runErr.Error(), Fix: "See: " + self() + " logs supervisor"}}
	}
	var bad []preflight.Check
	for _, c := range components {
		if c.Ready {
			continue
		}
		found := string(c.State)
		if len(c.WaitingFor) > 0 {
			found += ", waits for " + strings.Join(c.WaitingFor, ", ")
		}
		if c.Error != "" {
			found += ", " + c.Error
		}
		bad = append(bad, preflight.Check{Name: c.Name, Found: found, Fix: "See: " + self() + " logs " + c.Name})
	}
	if len(bad) > 0 {
		return bad
	}
	return []preflight.Check{{Name: "mesh", OK: true, Found: fmt.Sprintf("running, all %d components ready", len(components))}}
}

func writeChecks(c *cobra.Command, checks []preflight.Check) {
	var rows [][]string
	for _, k := range checks {
		mark := "✗"
		switch {
		case k.OK:
			mark = "✓"
		case k.Warning:
			mark = "!"
		}
		text := k.Found
		if k.Fix != "" {
			text += ". " + k.Fix
		}
		rows = append(rows, []string{mark, k.Name, text})
	}
	writeColumns(c.OutOrStdout(), rows)
}

// writeFindings writes checks for programs.
func writeFindings(w query.Writer, checks []preflight.Check) error {
	if err := w.Header([]query.Column{{Name: "name"}, {Name: "ok"}, {Name: "warning"}, {Name: "found"}, {Name: "fix"}}); err != nil {
		return err
	}
	for _, k := range checks {
		if err := w.Row([]any{k.Name, k.OK, k.Warning, k.Found, k.Fix}); err != nil {
			return err
		}
	}
	return w.Close()
}
