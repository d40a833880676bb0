package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// shortestRefresh is about what a build of little data takes; one never begins
// before the last has ended.
const shortestRefresh = 10 * time.Second

func newDBTCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dbt COMMAND [ARGUMENT]...",
		Short: "Run dbt on the mesh's project, as its own service user",
		Long: `Passes any command to dbt, with the project of the clone (domains/), its profile
and an environment of its own. dbt's output and exit code are passed on.

"dbt build" builds the marts aside, tests them, and then publishes all of them in
one transaction; when a test fails, those published before stay. "dbt run" builds
aside and publishes nothing. Commands that only look, look at what is published.

Started by root, dbt runs under the account of the servers.`,
		Example: `  meesh dbt build                             # all models and tests, then publish
  meesh dbt build --select mart_sales_daily   # one mart
  meesh dbt build --full-refresh              # incremental models from the beginning
  meesh dbt source freshness
  meesh dbt copy ~/dbt_projects               # a project of your own to change; target dev`,
		DisableFlagParsing: true, // they are dbt's
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 0 || given[0] == "--help" || given[0] == "-h" {
				return c.Help()
			}
			return runDBT(c.Context(), given)
		},
	}
	c.AddCommand(newDBTCopyCommand())
	return c
}

func newDBTCopyCommand() *cobra.Command {
	var person string
	c := &cobra.Command{
		Use:   "copy FOLDER",
		Short: "Make a writable copy of the dbt project",
		Long: `Makes a copy of the dbt project in which plain dbt works: target dev is a schema
of the person's own in the lake. Its profiles.yml holds the person's password.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			m, err := openDBT()
			if err != nil {
				return err
			}
			to, err := filepath.Abs(given[0])
			if err != nil {
				return err
			}
			connection, err := local.DBTConnection(m.mesh, m.secrets, person)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if err := dbt.Project(m.dir.Project()).CopyFor(to, connection); err != nil {
				return err
			}
			say(c.ErrOrStderr(), "%s is a copy of the project, target dev is lake.dev_%s. Next:", to, person)
			say(c.ErrOrStderr(), "  cd %s && PATH=%s:$PATH", to, filepath.Join(m.mesh.Tools.DBT, "bin"))
			say(c.ErrOrStderr(), "  dbt run --profiles-dir .")
			return nil
		},
	}
	c.Flags().StringVar(&person, "as", "mike", "person who works in it")
	return c
}

// openDBT finds the mesh and brings its copy of the project up to date.
func openDBT() (*startedMesh, error) {
	m, err := openMesh()
	if err != nil {
		return nil, err
	}
	if !m.mesh.Lake() {
		return nil, &exitError{exitUnreachable, fmt.Errorf("the mesh has profile %s, and so no dbt; add it with: %s up --profile %s", m.mesh.Profile, self(), state.ProfileFull)}
	}
	if m.mesh.Tools.DBT == "" {
		return nil, &exitError{exitUnreachable, fmt.Errorf("dbt has not been fetched yet; fetch it with: %s up", self())}
	}
	return m, installProject(m.dir)
}

// installProject copies the project of the clone to where the servers' account
// reads it. A program that lies in the state folder has nothing to copy.
func installProject(d state.Dir) error {
	programs, err := programFolder()
	if err != nil || programs == d.Bin() {
		return err
	}
	from := filepath.Join(filepath.Dir(programs), "domains")
	err = dbt.Project(from).Install(dbt.Project(d.Project()))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; meesh must lie in the folder bin of a clone", err)
	}
	return err
}

// runDBT passes a command to dbt, as root under the account of the servers: they
// wrote what dbt reads, the refresh that the supervisor runs is theirs, and root
// has no business with programs from elsewhere.
func runDBT(ctx context.Context, given []string) error {
	m, err := openDBT()
	if err != nil {
		return err
	}
	a, err := account.Look(string(m.dir))
	if err != nil {
		return err
	}
	if !a.Root {
		err = m.dbt(ctx, given, os.Stdout, os.Stderr)
	} else {
		err = runAsAccount(ctx, m.dir, a, os.Stdout, os.Stderr, append([]string{"dbt"}, given...)...)
	}
	m.auditDBT(ctx, given, err)
	return err
}

// auditDBT tells the audit record of a run of dbt. Of the arguments it keeps the
// flags and what was selected: variables may hold anything.
func (m *startedMesh) auditDBT(ctx context.Context, given []string, failure error) {
	// As root this program runs again under the servers' account, and was told
	// of already.
	if os.Getenv(auditedVariable) != "" {
		return
	}
	var kept, selected []string
	selects := false
	for _, g := range given {
		flag := strings.HasPrefix(g, "-")
		name, value, _ := strings.Cut(g, "=")
		switch {
		case flag:
			kept = append(kept, name)
			selects = slices.Contains([]string{"--select", "-s", "--models", "-m", "--exclude", "--selector"}, name)
			if selects && value != "" {
				selected = append(selected, value)
			}
		case selects:
			selected = append(selected, g)
		}
	}
	m.tell(ctx, audit.Event{
		At: time.Now(), Who: caller(), Tool: audit.ToolDBT, Action: cmp.Or(dbt.Command{Args: given}.Name(), "dbt"), Object: strings.Join(selected, " "),
		Outcome: outcome(failure), From: "this machine", Detail: strings.Join(kept, " "),
	})
}

// auditedVariable tells a program that its caller tells the audit record.
const auditedVariable = "MEESH_AUDITED"

// runAsAccount runs the mesh's own copy of this program under the account.
func runAsAccount(ctx context.Context, d state.Dir, a account.Account, stdout, stderr io.Writer, given ...string) error {
	env := []string{"PATH=/usr/bin:/bin", "HOME=" + string(d), "TZ=UTC", "COLUMNS=" + os.Getenv("COLUMNS"), auditedVariable + "=1", state.HomeVariable + "=" + string(d)}
	err := runAlongTo(ctx, a, filepath.Join(d.Bin(), "meesh"), given, env, stdout, stderr)
	if exit, ok := errors.AsType[*exitError](err); ok {
		return &exitError{exit.code, nil}
	}
	return err
}

// dbt passes a command to dbt under this account.
func (m *startedMesh) dbt(ctx context.Context, given []string, stdout, stderr io.Writer) error {
	connection, err := local.DBTConnection(m.mesh, m.secrets, "dbt")
	if err != nil {
		return err
	}
	runner := dbt.Runner{
		Program: filepath.Join(m.mesh.Tools.DBT, "bin", "dbt"), Project: dbt.Project(m.dir.Project()), Work: m.dir.DBT(),
		Connection: connection, Color: isTerminal(stdout) && os.Getenv("NO_COLOR") == "", Stdout: stdout, Stderr: stderr,
	}
	command := dbt.Command{Args: given}
	if !command.Writes() {
		return dbtError(runner.Run(ctx, dbt.Marts, given...))
	}
	unlock, err := control.Lock(ctx, filepath.Join(m.dir.DBT(), "lock"), fmt.Sprintf("meesh dbt %s (process %d)", command.Name(), os.Getpid()), func(holder string) {
		say(stderr, "Another %s is at work; waiting for it.", cmp.Or(holder, "command"))
	})
	if err != nil {
		return err
	}
	defer unlock()
	begin := time.Now()
	inputs, err := m.dbtInputs(ctx)
	if err != nil {
		return err
	}
	conn, err := m.connect(ctx, "platform-db", "sales_analytics", topology.RoleAnalytics)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	published, err := runner.Build(ctx, conn, command)
	if len(published) > 0 {
		say(stderr, "Published %d marts together, %.0f s after the start; documents: http://localhost:%d", len(published), time.Since(begin).Seconds(), m.mesh.Port(topology.PortDBTDocs))
	}
	switch {
	case err != nil:
		if _, failed := errors.AsType[*dbt.ExitError](err); failed && command.Publishes() {
			say(stderr, "Nothing was published: the marts stay as they were.")
		}
		return dbtError(err)
	case len(published) == 0:
		say(stderr, "Built in schema marts_next and not published: \"dbt build\" publishes, after its tests.")
		return nil
	case command.Whole():
		return os.WriteFile(m.dbtStamp(), []byte(inputs), 0o600)
	}
	return nil
}

// dbtError gives dbt's own exit code to what dbt has explained itself.
func dbtError(err error) error {
	if exit, ok := errors.AsType[*dbt.ExitError](err); ok {
		return &exitError{exit.Code, nil}
	}
	return err
}

// connect connects to a database of the mesh as a role.
func (m *startedMesh) connect(ctx context.Context, server, database, role string) (*pgx.Conn, error) {
	s, ok := topology.ServerNamed(server)
	if !ok {
		return nil, fmt.Errorf("no server %s in the topology", server)
	}
	password, err := m.secrets.Role(server, role)
	if err != nil {
		return nil, err
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(m.mesh.Port(s.Port))), Path: database, RawQuery: "sslmode=disable&connect_timeout=10",
	}
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return nil, &exitError{exitUnreachable, fmt.Errorf("%s cannot be reached: %w; see: %s status", server, err, self())}
	}
	return conn, nil
}

// dbtStamp says what the published marts were built from.
func (m *startedMesh) dbtStamp() string { return filepath.Join(m.dir.DBT(), "built") }

// dbtInputs changes when the project does, or the data is seeded anew. What is
// written through the APIs is left to --refresh.
func (m *startedMesh) dbtInputs(ctx context.Context) (string, error) {
	sum, err := dbt.Project(m.dir.Project()).Sum()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, sum)
	for _, d := range local.Domains {
		conn, err := m.connect(ctx, d.Server, d.Database, topology.RoleTrino)
		if err != nil {
			return "", err
		}
		var meta string
		err = conn.QueryRow(ctx, `SELECT concat_ws(' ', as_of, seed, scale, seeded_at) FROM mesh_meta`).Scan(&meta)
		_ = conn.Close(ctx)
		if err != nil {
			return "", fmt.Errorf("what %s holds: %w", d.Database, err)
		}
		fmt.Fprintln(h, d.Database, meta)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// dbtCurrent tells whether the marts are there and built from what is there now.
func (m *startedMesh) dbtCurrent(ctx context.Context) (bool, error) {
	inputs, err := m.dbtInputs(ctx)
	if err != nil {
		return false, err
	}
	stamp, err := os.ReadFile(m.dbtStamp())
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(stamp) != inputs {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	conn, err := m.connect(ctx, "platform-db", "sales_analytics", topology.RoleAnalytics)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var there bool
	err = conn.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'marts'`).Scan(&there)
	return there, err
}

const dbtBuild = "dbt-build"

// newDBTBuildCommand is what "up" runs in the end, under the servers' account.
func newDBTBuildCommand() *cobra.Command {
	return &cobra.Command{
		Use: dbtBuild, Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openMesh()
			if err != nil {
				return err
			}
			return m.dbtBuild(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
}

var dbtSummary = regexp.MustCompile(`(?m)(?:Done\. )?(PASS=\d+.*)$`)

// dbtBuild builds the marts unless they are current, tells the summary on stdout,
// and on stderr the failures; all of it goes to the log.
func (m *startedMesh) dbtBuild(ctx context.Context, stdout, stderr io.Writer) (err error) {
	current, err := m.dbtCurrent(ctx)
	if err != nil || current {
		return err
	}
	log, err := os.OpenFile(m.dir.Log(dbtBuild), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var said bytes.Buffer
	both := io.MultiWriter(log, &said)
	begin := time.Now()
	err = m.dbt(ctx, []string{"build"}, both, both)
	// Whoever ran "up" is told of here: it only passes on what is said.
	m.tell(ctx, audit.Event{At: begin, Who: caller(), Tool: audit.ToolDBT, Action: "build", Outcome: outcome(err), From: "this machine", Detail: "at the end of meesh up"})
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		for _, line := range lines[max(0, len(lines)-30):] {
			say(stderr, "  | %s", line)
		}
		return err
	}
	if summary := dbtSummary.FindStringSubmatch(said.String()); summary != nil {
		say(stdout, "Marts built in %.1f s: %s", time.Since(begin).Seconds(), summary[1])
	}
	return nil
}

// marts ends "up" with marts that are built from what is there.
func (u *upRun) marts(ctx context.Context) error {
	a, err := account.Look(string(u.dir))
	if err != nil {
		return err
	}
	var out, failure bytes.Buffer
	if a.Root {
		err = runAsAccount(ctx, u.dir, a, &out, &failure, dbtBuild)
	} else {
		var m *startedMesh
		if m, err = openMesh(); err == nil {
			err = m.dbtBuild(ctx, &out, &failure)
		}
	}
	for line := range strings.Lines(out.String() + failure.String()) {
		u.view.Line("%s", strings.TrimRight(line, "\n"))
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("the mesh runs, but its marts were not built, those of before stay; all of it: %[1]s logs %[2]s; again: %[1]s dbt build", self(), dbtBuild)
	}
	return err
}

// newDBTRefreshCommand is the component that builds the marts again and again.
func newDBTRefreshCommand() *cobra.Command {
	return &cobra.Command{
		Use: "dbt-refresh EVERY", Hidden: true, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			every, err := time.ParseDuration(given[0])
			if err != nil {
				return usageError(c, err)
			}
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for {
				select {
				case <-c.Context().Done():
					return nil
				case <-ticker.C:
				}
				m, err := openMesh()
				if err != nil {
					return err
				}
				// What fails is in the log, and tried again: a source may be away.
				err = m.dbt(c.Context(), []string{"build"}, c.OutOrStdout(), c.ErrOrStderr())
				m.tell(c.Context(), audit.Event{At: time.Now(), Who: caller(), Tool: audit.ToolDBT, Action: "build", Outcome: outcome(err), Detail: "refresh every " + every.String()})
				if err != nil && c.Context().Err() == nil {
					say(c.ErrOrStderr(), "not refreshed, next try in %s: %v", every, err)
				}
			}
		},
	}
}

// newDBTDocsCommand is the component that serves the documents.
func newDBTDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "dbt-docs", Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openMesh()
			if err != nil {
				return err
			}
			server := &http.Server{
				Addr: local.DBTDocsAddress(m.mesh), Handler: dbt.DocsHandler(m.dir.DBT()),
				ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
			}
			stopped := make(chan error, 1)
			context.AfterFunc(c.Context(), func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				stopped <- server.Shutdown(ctx)
			})
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return <-stopped
		},
	}
}
