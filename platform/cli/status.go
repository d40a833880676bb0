package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
)

func newStatusCommand() *cobra.Command {
	var format string
	var all bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what runs, and what waits for what",
		Long: `Shows the components of the mesh. Tasks that are done are left out unless --all
is given. Memory that processes share is counted once.

Exit code 0 when the mesh runs, also when a component is not ready; 3 when it
does not run.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := query.NewWriter(format, c.OutOrStdout())
			if err != nil {
				return usageError(c, err)
			}
			d, err := state.Find()
			if err != nil {
				return err
			}
			components, runErr := componentsOf(c.Context(), d)
			if runErr != nil && !errors.Is(runErr, control.ErrNotRunning) {
				return runErr
			}
			servers, err := notebookServers(d)
			if err != nil {
				return err
			}
			components = append(components, servers...)
			if !all {
				components = slices.DeleteFunc(components, func(s supervise.Status) bool { return s.State == supervise.Done })
			}
			if format == "table" {
				if len(components) > 0 {
					writeStatusTable(c, components)
				}
				if m, err := state.Load(d); err == nil && runErr == nil && m.Lake() && m.Tools.Grafana == nil {
					say(os.Stderr, "%s", noGrafana())
				}
			} else if err := writeStatus(out, components); err != nil {
				return err
			}
			return runErr
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "format: "+strings.Join(query.Formats, ", "))
	c.Flags().BoolVar(&all, "all", false, "show tasks that are done, too")
	return c
}

// orphaned is the state of a component whose supervisor was killed.
const orphaned supervise.State = "orphaned"

// componentsOf asks the supervisor. When it does not run, the error is
// control.ErrNotRunning, and the components are those whose processes go on
// without it.
func componentsOf(ctx context.Context, d state.Dir) ([]supervise.Status, error) {
	report, err := control.NewClient(d).Status(ctx)
	if err == nil {
		return report.Components, nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return nil, err
	}
	pids, recordErr := supervise.Recorded(d.Run())
	if recordErr != nil || len(pids) == 0 {
		return nil, errors.Join(recordErr, err)
	}
	var left []supervise.Status
	for _, name := range slices.Sorted(maps.Keys(pids)) {
		left = append(left, supervise.Status{Name: name, State: orphaned, PID: pids[name]})
	}
	return left, errOrphaned
}

// errOrphaned is a kind of control.ErrNotRunning.
var errOrphaned error = orphanedError{}

type orphanedError struct{}

func (orphanedError) Error() string {
	return "the mesh's supervisor was killed, these components go on without it; \"meesh up\" takes them over, \"meesh down\" ends them"
}

func (orphanedError) Unwrap() error { return control.ErrNotRunning }

// writeStatus writes components for programs.
func writeStatus(w query.Writer, components []supervise.Status) error {
	if err := w.Header([]query.Column{
		{Name: "name"}, {Name: "state"}, {Name: "ready"}, {Name: "waitingFor"},
		{Name: "url"}, {Name: "pid"}, {Name: "rssBytes"}, {Name: "since"}, {Name: "error"},
	}); err != nil {
		return err
	}
	for _, c := range components {
		waiting := []any{}
		for _, n := range c.WaitingFor {
			waiting = append(waiting, n)
		}
		var since any
		if !c.Since.IsZero() {
			since = c.Since.Format(time.RFC3339)
		}
		if err := w.Row([]any{
			c.Name, string(c.State), c.Ready, waiting, c.URL, int64(c.PID), c.RSSBytes, since, c.Error,
		}); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeStatusTable writes components for people.
func writeStatusTable(c *cobra.Command, components []supervise.Status) {
	header := []string{"NAME", "STATE", "SINCE", "PID", "MEMORY", "URL", ""}
	rows := [][]string{header}
	var memory int64
	for _, s := range components {
		memory += s.RSSBytes
		row := []string{s.Name, string(s.State), "", "", "", s.URL, ""}
		if !s.Since.IsZero() {
			row[2] = ago(time.Since(s.Since))
		}
		if s.PID != 0 {
			row[3] = fmt.Sprint(s.PID)
		}
		if s.RSSBytes != 0 {
			row[4] = fmt.Sprintf("%d MB", s.RSSBytes/1e6)
		}
		switch {
		case s.Ready:
		case len(s.WaitingFor) > 0:
			row[6] = "waits for " + strings.Join(s.WaitingFor, ", ")
		default:
			row[6] = s.Error
		}
		rows = append(rows, row)
	}
	writeColumns(c.OutOrStdout(), rows)
	if memory > 0 {
		say(os.Stderr, "%d MB in all. More: %[2]s status -o json, %[2]s logs NAME", memory/1e6, self())
	}
}

// ago is a duration as people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
