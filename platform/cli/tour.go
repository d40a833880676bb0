package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/tour"
)

// tours are those that there are; each is made for a mesh.
var tours = []func(tour.Mesh) tour.Tour{
	tour.DataScientist, tour.Analyst, tour.Executive,
	func(m tour.Mesh) tour.Tour { return tour.Engineer(m, runMeesh) },
}

// runMeesh runs another command of this program, as a person would type it.
func runMeesh(ctx context.Context, args ...string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return "", fmt.Errorf("meesh %s: %w\n%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	return out.String(), nil
}

func newTourCommand() *cobra.Command {
	var format string
	formats := []string{"table", "json"}
	var names, lines []string
	for _, t := range tours {
		made := t(tour.Mesh{})
		names = append(names, made.Name)
		lines = append(lines, fmt.Sprintf("  %-15s %s: %s", made.Name, made.Person, made.About))
	}
	c := &cobra.Command{
		Use:   "tour NAME",
		Short: "Walk through a person's day in the running mesh, and check each step",
		Long: `Does what a person does on a day of the architecture document, in the running mesh
and through the same doors, and compares what each step finds with what another way
gives. A step that fails names the component at fault; one that needs what is not
here, such as a Grafana, is "not shown", which is neither.

` + strings.Join(lines, "\n") + `

Exit code 1 when a step failed, 3 when the mesh does not run.`,
		Example:   "  meesh tour executive",
		Args:      args(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: names,
		RunE: func(c *cobra.Command, given []string) error {
			if !slices.Contains(formats, format) {
				return usageError(c, fmt.Errorf("unknown output format %q; choose one of %s", format, strings.Join(formats, ", ")))
			}
			m, err := openMesh()
			if err != nil {
				return err
			}
			i := slices.Index(names, given[0])
			t := tours[i](tour.Mesh{Mesh: m.mesh, Secrets: m.secrets})
			if err := m.hasTour(t); err != nil {
				return err
			}
			return m.tour(c, t, format)
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(formats, ", "))
	return c
}

// hasTour tells what a mesh lacks for the tour.
func (m *startedMesh) hasTour(t tour.Tour) error {
	switch {
	case !m.mesh.Lake():
		return &exitError{exitUnreachable, fmt.Errorf("the mesh has profile %s, and so neither notebooks, dashboards nor a lake; add them with: %s up --profile %s", m.mesh.Profile, self(), state.ProfileFull)}
	case m.mesh.Tools.Hub == "" && t.Name == "data-scientist":
		return &exitError{exitUnreachable, fmt.Errorf("JupyterHub has not been fetched yet; what it needs, tells: %[1]s doctor; then: %[1]s up", self())}
	}
	return nil
}

func (m *startedMesh) tour(c *cobra.Command, t tour.Tour, format string) error {
	ailing := func(ctx context.Context) (map[string]string, error) {
		report, err := control.NewClient(m.dir).Status(ctx)
		if err != nil {
			return nil, err
		}
		sick := map[string]string{}
		for _, s := range report.Components {
			if s.Ready {
				continue
			}
			sick[s.Name] = string(s.State)
			if s.Error != "" {
				sick[s.Name] += " (" + s.Error + ")"
			}
		}
		return sick, nil
	}
	var results []tour.Result
	err := t.Run(c.Context(), ailing,
		func(s tour.Step) { say(c.ErrOrStderr(), "%s  %s …", s.At, s.Name) },
		func(r tour.Result) { results = append(results, r) })
	if format == "json" {
		if jsonErr := writeTourJSON(c, results); jsonErr != nil {
			return jsonErr
		}
	} else if tableErr := writeTour(c, results); tableErr != nil {
		return tableErr
	}
	switch failed, isStep := errors.AsType[*tour.StepError](err); {
	case err == nil:
		var missing int
		for _, r := range results {
			if strings.HasPrefix(r.Found, tour.NotShown) {
				missing++
			}
		}
		if missing > 0 {
			say(c.ErrOrStderr(), "%d steps of the tour %s hold, %d are not shown.", len(results)-missing, t.Name, missing)
			return nil
		}
		say(c.ErrOrStderr(), "All %d steps of the tour %s hold.", len(results), t.Name)
		return nil
	case isStep:
		return &exitError{exitFailed, fmt.Errorf("%w; see: %s logs %s", err, self(), failed.Component)}
	}
	return err
}

func writeTour(c *cobra.Command, results []tour.Result) error {
	var rows [][]any
	for _, r := range results {
		outcome, found := "ok", r.Found
		switch {
		case r.Err != nil:
			outcome, found = "FAILED", ""
		case strings.HasPrefix(found, tour.NotShown):
			outcome, found = "not shown", strings.TrimPrefix(found, tour.NotShown)
		}
		rows = append(rows, []any{outcome, r.At, r.Name, seconds(r.Took.Seconds()), found})
	}
	return writeTable(c.OutOrStdout(), []query.Column{{Name: "step"}, {Name: "at"}, {Name: "what"}, {Name: "took", Type: "double"}, {Name: "found"}}, rows)
}

func writeTourJSON(c *cobra.Command, results []tour.Result) error {
	out, err := query.NewWriter("json", c.OutOrStdout())
	if err != nil {
		return err
	}
	if err := out.Header([]query.Column{{Name: "at"}, {Name: "step"}, {Name: "ok"}, {Name: "seconds"}, {Name: "found"}, {Name: "component"}, {Name: "error"}}); err != nil {
		return err
	}
	for _, r := range results {
		var component, failure string
		if e, ok := errors.AsType[*tour.StepError](r.Err); ok {
			component = e.Component
		}
		if r.Err != nil {
			failure = r.Err.Error()
		}
		if err := out.Row([]any{r.At, r.Name, r.Err == nil && !strings.HasPrefix(r.Found, tour.NotShown), r.Took.Seconds(), r.Found, component, failure}); err != nil {
			return err
		}
	}
	return out.Close()
}
