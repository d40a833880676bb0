package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/state"
)

func newLogsCommand() *cobra.Command {
	var follow bool
	var lines int
	c := &cobra.Command{
		Use:   "logs [NAME]",
		Short: "Show what components logged",
		Long: `Shows the end of the log of one component, or of all with their names in front.
The supervisor's own log is called supervisor.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			d, err := state.Find()
			if err != nil {
				return err
			}
			names, err := logNames(d)
			if err != nil {
				return err
			}
			if len(given) == 1 {
				if !slices.Contains(names, given[0]) {
					return usageError(c, fmt.Errorf("no component called %q has logged anything; there are: %s", given[0], strings.Join(names, ", ")))
				}
				names = given
			}
			return showLogs(c.Context(), c.OutOrStdout(), d, names, lines, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines until Ctrl-C")
	c.Flags().IntVarP(&lines, "lines", "n", 20, "how many lines of each log; 0 for none")
	return c
}

// logNames lists the components that have a log.
func logNames(d state.Dir) ([]string, error) {
	entries, err := os.ReadDir(d.Logs())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, &control.PermissionError{Dir: d}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", d, state.ErrNoMesh)
	case err != nil:
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// showLogs writes the last lines of each log and, if asked, what comes after.
func showLogs(ctx context.Context, w io.Writer, d state.Dir, names []string, lines int, follow bool) error {
	var tails []*tail
	for _, n := range names {
		prefix := ""
		if len(names) > 1 {
			prefix = n + " | "
		}
		t := &tail{path: d.Log(n), prefix: prefix}
		if err := t.last(w, lines); err != nil {
			return err
		}
		tails = append(tails, t)
	}
	if !follow {
		return nil
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // the way to end it
		case <-tick.C:
		}
		for _, t := range tails {
			if err := t.more(w); err != nil {
				return err
			}
		}
	}
}

// A tail follows one log file.
type tail struct {
	path   string
	prefix string
	offset int64 // what was shown
}

// last shows the last n lines.
func (t *tail) last(w io.Writer, n int) error {
	f, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// Backwards by blocks until enough lines are there.
	const block = 64 << 10
	var text []byte
	start := info.Size()
	for start > 0 && bytes.Count(text, []byte("\n")) <= n {
		size := min(int64(block), start)
		start -= size
		b := make([]byte, size)
		if _, err := f.ReadAt(b, start); err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(t.path), err)
		}
		text = append(b, text...)
	}
	t.offset = info.Size()
	all := bytes.SplitAfter(text, []byte("\n"))
	if len(all) > 0 && len(all[len(all)-1]) == 0 {
		all = all[:len(all)-1]
	}
	return t.write(w, all[max(0, len(all)-n):])
}

// more shows whole lines that were added.
func (t *tail) more(w io.Writer) error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // "down --volumes"
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < t.offset {
		t.offset = 0 // the log was rotated
	}
	if _, err := f.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.offset += int64(len(line))
		if err := t.write(w, [][]byte{line}); err != nil {
			return err
		}
	}
}

func (t *tail) write(w io.Writer, lines [][]byte) error {
	for _, line := range lines {
		if !bytes.HasSuffix(line, []byte("\n")) {
			line = append(line, '\n')
		}
		if _, err := fmt.Fprintf(w, "%s%s", t.prefix, line); err != nil {
			return err
		}
	}
	return nil
}
