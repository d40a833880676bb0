package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/supervise"
)

func newAuditCommand() *cobra.Command {
	var (
		filter       audit.Filter
		since, until string
		limit        int
		format       string
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who did what",
		Long: `Shows the record of who queried, logged in, ran dbt, used an API key or changed a
user or data source, oldest first. Tools: ` + strings.Join(audit.Tools, ", ") + `.
Outcomes: ` + audit.OK + `, ` + audit.Refused + ` (not allowed or not known), ` + audit.Failed + `.

Statements stand without their literals and comments. A person's direct access to
PostgreSQL is read from the servers' logs within a second, uses of API keys from the
services' request logs within half a minute.

The record also answers while the mesh is stopped. Whether it was changed afterwards
says "meesh audit verify".`,
		Example: `  meesh audit --who alex --since 1h
  meesh audit --outcome refused -o json
  meesh audit --tool trino --object sales.public.customers --since 2026-11-01`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			if filter.Since, err = moment(since, now); err != nil {
				return usageError(cmd, fmt.Errorf("--since %w", err))
			}
			if filter.Until, err = moment(until, now); err != nil {
				return usageError(cmd, fmt.Errorf("--until %w", err))
			}
			if !filter.Until.IsZero() && filter.Until.Before(filter.Since) {
				return usageError(cmd, fmt.Errorf("--until %s comes before --since %s", until, since))
			}
			if filter.Tool != "" && !slices.Contains(audit.Tools, filter.Tool) {
				return usageError(cmd, fmt.Errorf("--tool %q: choose one of %s", filter.Tool, strings.Join(audit.Tools, ", ")))
			}
			if outcomes := []string{audit.OK, audit.Refused, audit.Failed}; filter.Outcome != "" && !slices.Contains(outcomes, filter.Outcome) {
				return usageError(cmd, fmt.Errorf("--outcome %q: choose one of %s", filter.Outcome, strings.Join(outcomes, ", ")))
			}
			if limit < 0 {
				return usageError(cmd, fmt.Errorf("--limit %d: choose 0 for all, or a number of events", limit))
			}
			out, err := query.NewWriter(format, cmd.OutOrStdout())
			if err != nil {
				return usageError(cmd, err)
			}
			return runAudit(cmd, out, filter, limit)
		},
	}
	cmd.AddCommand(newAuditVerifyCommand())
	cmd.Flags().StringVar(&filter.Who, "who", "", "person, service user, API key or account")
	cmd.Flags().StringVar(&filter.Tool, "tool", "", "tool that told of it")
	cmd.Flags().StringVar(&filter.Action, "action", "", "what was done: query, login, run, use-key, add-source …")
	cmd.Flags().StringVar(&filter.Outcome, "outcome", "", "ok, refused or failed")
	cmd.Flags().StringVar(&filter.Object, "object", "", "part of what it was done to, or of the detail")
	cmd.Flags().StringVar(&since, "since", "24h", "how long ago (90m, 24h, 7d), or a day or time: 2026-11-28, 2026-11-28T15:04:05Z; 0 for all")
	cmd.Flags().StringVar(&until, "until", "", "the same, for the end")
	cmd.Flags().IntVar(&limit, "limit", 0, "only the last so many; 0 for all")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return cmd
}

// moment reads a time that was or how long ago it was; zero for "" and "0".
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" || s == "0" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time ago like 90m, 24h or 7d, nor a day like 2026-11-28, nor a time like 2026-11-28T15:04:05Z", s)
}

func runAudit(cmd *cobra.Command, out query.Writer, filter audit.Filter, limit int) error {
	m, err := openMesh()
	if err != nil {
		return err
	}
	if err := out.Header([]query.Column{
		{Name: "at"}, {Name: "who"}, {Name: "tool"}, {Name: "action"}, {Name: "object"}, {Name: "outcome"}, {Name: "from"}, {Name: "detail"}, {Name: "seq", Type: "bigint"},
	}); err != nil {
		return err
	}
	row := func(e audit.Entry) error {
		return out.Row([]any{e.At.Format("2006-01-02T15:04:05.000Z"), e.Who, e.Tool, e.Action, e.Object, e.Outcome, e.From, e.Detail, e.Seq})
	}
	var (
		last  []audit.Entry
		found int
	)
	searched, err := audit.Search(local.AuditDir(m.dir), filter, func(e audit.Entry) error {
		found++
		if limit == 0 {
			return row(e)
		}
		if last = append(last, e); len(last) > limit {
			last = last[1:]
		}
		return nil
	})
	if err != nil {
		return auditError(m, err)
	}
	for _, e := range last {
		if err := row(e); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	log := cmd.ErrOrStderr()
	switch {
	case searched.Files == 0:
		say(log, "Nothing was ever recorded: the record begins when the mesh is started by this version. Start it: %s up", self())
	case found == 0:
		say(log, "No event matches, of %d looked at since %s. More: --since 0, or without --who, --tool, --action, --outcome, --object.", searched.Looked, sinceText(filter.Since))
	case limit > 0 && found > limit:
		say(log, "The last %d of %d events.", limit, found)
	}
	if searched.Damaged > 0 {
		say(log, "Note: %d damaged lines were left out, the first: %s. What else was changed: %s audit verify", searched.Damaged, searched.First, self())
	}
	if !auditRuns(cmd.Context(), m) {
		say(log, "Note: mesh-audit does not run now; what happens meanwhile is not shown yet, or lost. See: %s status", self())
	}
	return nil
}

func sinceText(t time.Time) string {
	if t.IsZero() {
		return "the beginning"
	}
	return t.UTC().Format(time.RFC3339)
}

// auditRuns tells whether events are taken now, or the mesh is stopped.
func auditRuns(ctx context.Context, m *startedMesh) bool {
	components, err := componentsOf(ctx, m.dir)
	if errors.Is(err, control.ErrNotRunning) && len(components) == 0 {
		return true // nothing happens that could be missed
	}
	i := slices.IndexFunc(components, func(c supervise.Status) bool { return c.Name == "mesh-audit" })
	return i >= 0 && components[i].PID != 0
}

func auditError(m *startedMesh, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &control.PermissionError{Dir: m.dir}
	}
	return err
}

func newAuditVerifyCommand() *cobra.Command {
	var noted string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that the record is as it was written",
		Long: `Each event of the record carries a code over itself and the one before, made with a
secret of the mesh. A line that was changed, removed, added or moved is found; lines
that were cut off at the end are found when the head that this command prints was
noted elsewhere and is given by --head.

Ends with 1 when the record is not as it was written.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var head audit.Head
			if noted != "" {
				if head, err = audit.ParseHead(noted); err != nil {
					return usageError(cmd, fmt.Errorf("--head %w", err))
				}
			}
			m, err := openMesh()
			if err != nil {
				return err
			}
			key, err := m.secrets.AuditKey()
			if err != nil {
				return err
			}
			last, lines, err := audit.Verify(local.AuditDir(m.dir), []byte(key), head)
			if err != nil {
				return auditError(m, fmt.Errorf("the audit record is not as it was written: %w", err))
			}
			if lines == 0 {
				return &exitError{exitUnreachable, errors.New("there is no audit record yet; it begins with: " + self() + " up")}
			}
			say(cmd.OutOrStdout(), "%s", last)
			say(cmd.ErrOrStderr(), "%d events as they were written. Note the line above elsewhere, and later: %s audit verify --head %s", lines, self(), last)
			return nil
		},
	}
	cmd.Flags().StringVar(&noted, "head", "", "NUMBER:CODE that an earlier verify printed")
	return cmd
}

// audit tells the record what a person did with this program. That it could not
// be told is said, and no reason to undo it.
func (m *startedMesh) audit(ctx context.Context, action, object string, failure error, detail string) {
	m.tell(ctx, audit.Event{
		At: time.Now(), Who: caller(), Tool: audit.ToolMeesh, Action: action, Object: object, Outcome: outcome(failure), From: "this machine", Detail: detail,
	})
}

func outcome(failure error) string {
	if failure != nil {
		return audit.Failed
	}
	return audit.OK
}

func (m *startedMesh) tell(ctx context.Context, e audit.Event) {
	client, err := local.AuditClient(m.mesh, m.secrets)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // an interrupted command has been run too
		defer cancel()
		err = client.Send(ctx, e)
	}
	if err != nil {
		say(os.Stderr, "Not in the audit record: %s %s: %v", e.Action, e.Object, err)
	}
}

// caller is the account that runs this program, before sudo.
func caller() string {
	if name := os.Getenv("SUDO_USER"); name != "" && os.Geteuid() == 0 {
		return name
	}
	u, err := user.Current()
	if err != nil {
		return "uid " + strconv.Itoa(os.Getuid())
	}
	return u.Username
}
