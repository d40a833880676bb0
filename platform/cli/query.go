package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/topology"
)

func newQueryCommand() *cobra.Command {
	var (
		person string
		format string
		file   string
	)
	cmd := &cobra.Command{
		Use:   "query [flags] SQL | - | --file FILE",
		Short: "Run a SQL statement on Trino",
		Long: `Run one SQL statement on Trino as one of the mesh's people.

The result goes to standard output as it arrives; progress, rows and time go to
standard error. Ctrl-C cancels the statement on the server.

Values: csv writes NULL as an empty field and an empty text as "". json and
yaml write integers and decimals as numbers with all their digits; dates, times
and bytes are strings, NaN and the infinities too.`,
		Example: `  meesh query "SELECT segment, count(*) FROM sales.public.customers GROUP BY 1"
  meesh query --as emma -o csv --file report.sql > report.csv
  echo "SHOW CATALOGS" | meesh query -`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			statement, err := readStatement(cmd.InOrStdin(), given, file)
			if err != nil {
				return err
			}
			return runQuery(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), person, format, statement)
		},
	}
	cmd.Flags().StringVar(&person, "as", "mike", "person who asks; \"meesh credentials\" lists them")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the statement from a file; - for standard input")
	return cmd
}

// readStatement reads the statement from the one place that was named.
func readStatement(stdin io.Reader, given []string, file string) (string, error) {
	var text, from string
	switch {
	case file != "" && len(given) > 0:
		return "", &exitError{exitUsage, errors.New("give the statement either as an argument or by --file, not both")}
	case file == "" && len(given) == 0:
		return "", &exitError{exitUsage, errors.New(`no statement; for example: ` + self() + ` query "SHOW CATALOGS"`)}
	case file == "-", len(given) > 0 && given[0] == "-":
		b, err := io.ReadAll(stdin)
		if err != nil {
			return "", fmt.Errorf("read the statement from standard input: %w", err)
		}
		text, from = string(b), "standard input: "
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", &exitError{exitUsage, fmt.Errorf("read the statement: %w", err)}
		}
		text, from = string(b), file+": "
	default:
		text = given[0]
	}
	statement, err := query.Statement(text)
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("%s%w", from, err)}
	}
	return statement, nil
}

func runQuery(ctx context.Context, stdout, stderr io.Writer, person, format, statement string) error {
	if !slices.Contains(query.Formats, format) {
		_, err := query.NewWriter(format, nil)
		return &exitError{exitUsage, err}
	}
	m, err := openMesh()
	if err != nil {
		return err
	}
	client, err := m.client(person, "meesh query")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	// Without this, a reader that goes away (… | head) would end this program
	// before it can cancel the query.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	var progress func(query.Progress)
	if isTerminal(stderr) {
		line := query.NewProgressLine(stderr)
		defer line.End()
		progress = line.Update
		if isTerminal(stdout) {
			stdout = &endFirst{stdout, line}
		}
	}
	out, err := query.NewWriter(format, stdout)
	if err != nil {
		return err
	}
	result, err := client.Run(ctx, statement, out, progress)
	if line, ok := stdout.(*endFirst); ok {
		line.End()
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil // whoever read has enough
	}
	if err != nil {
		return m.refusal(person, m.queryError(err))
	}
	rows := "rows"
	if result.Rows == 1 {
		rows = "row"
	}
	say(stderr, "%d %s in %.2f s as %s (query %s)", result.Rows, rows, result.Elapsed.Seconds(), person, result.QueryID)
	return nil
}

// client makes a client for one of the mesh's people; an error with exitUsage
// and their names when there is no such person.
func (m *startedMesh) client(person, source string) (*query.Client, error) {
	return m.sessionClient(person, source, nil)
}

// sessionClient is client with session properties.
func (m *startedMesh) sessionClient(person, source string, session map[string]string) (*query.Client, error) {
	people, err := m.secrets.People()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(people))
	for i, p := range people {
		names[i] = p.Name
	}
	if !slices.Contains(names, person) {
		return nil, &exitError{exitUsage, fmt.Errorf("there is no person %q; choose one of %s", person, strings.Join(names, ", "))}
	}
	password, err := m.secrets.Person(person)
	if err != nil {
		return nil, err
	}
	return m.clientWith(person, password, source, session)
}

// clientWith makes a client that logs in with a password.
func (m *startedMesh) clientWith(person, password, source string, session map[string]string) (*query.Client, error) {
	ca, err := m.secrets.CA()
	if err != nil {
		return nil, err
	}
	return query.New(query.Config{
		Address:  net.JoinHostPort("localhost", strconv.Itoa(m.mesh.Port(topology.PortTrino))),
		CA:       ca,
		User:     person,
		Password: password,
		Source:   source,
		Session:  session,
	})
}

// refusal adds to a refusal what the person may do.
func (m *startedMesh) refusal(person string, err error) error {
	failed, ok := errors.AsType[*query.Error](err)
	if !ok || failed.Name != "PERMISSION_DENIED" {
		return err
	}
	people, listErr := m.secrets.People()
	if listErr != nil {
		return err
	}
	for _, p := range people {
		if p.Name == person {
			return fmt.Errorf("%w; %s is in the group %s, who may: %s; all of it: docs/security.md", err, person, p.Group, policy.TheMesh().Does(p))
		}
	}
	return err
}

// sourceErrors are Trino's names of errors of what a catalog reads from, not of
// the statement.
var sourceErrors = []string{"JDBC_ERROR", "HIVE_METASTORE_ERROR", "HIVE_FILESYSTEM_ERROR", "HIVE_CANNOT_OPEN_SPLIT", "HIVE_CURSOR_ERROR",
	"HIVE_WRITER_OPEN_ERROR", "HIVE_WRITER_CLOSE_ERROR", "HIVE_WRITER_DATA_ERROR", "ICEBERG_FILESYSTEM_ERROR", "ICEBERG_CANNOT_OPEN_SPLIT", "ICEBERG_CURSOR_ERROR",
	"ICEBERG_WRITER_OPEN_ERROR", "ICEBERG_WRITER_CLOSE_ERROR", "ICEBERG_WRITER_DATA_ERROR", "ICEBERG_CATALOG_ERROR", "ICEBERG_COMMIT_ERROR", "ICEBERG_INVALID_METADATA", "GENERIC_INTERNAL_ERROR"}

// queryError is the function queryError, and names the catalogs whose source is
// away: Trino tells an address at best.
func (m *startedMesh) queryError(err error) error {
	failed, ok := errors.AsType[*query.Error](err)
	if !ok || !slices.Contains(sourceErrors, failed.Name) {
		return queryError(err)
	}
	away := local.Addressed(m.mesh, failed.Message)
	if len(away) == 0 {
		// The caller's context may have ended; this takes a moment.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		components, statusErr := componentsOf(ctx, m.dir)
		if statusErr != nil {
			return queryError(err)
		}
		for _, c := range components {
			if !c.Ready {
				away = append(away, c.Name)
			}
		}
	}
	var catalogs, sources []string
	for _, component := range away {
		if of := local.Catalogs(component); len(of) > 0 {
			catalogs, sources = append(catalogs, of...), append(sources, component)
		}
	}
	if len(catalogs) == 0 {
		return queryError(err)
	}
	slices.Sort(catalogs)
	catalogs = slices.Compact(catalogs)
	word := "catalog"
	if len(catalogs) > 1 {
		word = "catalogs"
	}
	return &exitError{exitUnreachable, fmt.Errorf("%s %s cannot be read, because %s does not answer: %w; the other catalogs go on; see: %s status",
		word, strings.Join(catalogs, ", "), strings.Join(sources, ", "), err, self())}
}

// queryError adds to an error of a query what its reader needs: the place in
// the statement, or what to do.
func queryError(err error) error {
	var (
		failed      *query.Error
		unreachable *query.UnreachableError
	)
	switch {
	case errors.As(err, &failed) && failed.Name == "JDBC_ERROR" && strings.HasPrefix(failed.Message, "Connection to "):
		// One of the catalogs' databases is down; Trino itself is well.
		return &exitError{exitUnreachable, fmt.Errorf("%w; see how the mesh is: %s status", err, self())}
	case errors.As(err, &failed):
		if excerpt := failed.Excerpt(); excerpt != "" {
			return fmt.Errorf("%w\n%s", err, excerpt)
		}
		return err
	case errors.As(err, &unreachable):
		return &exitError{exitUnreachable, fmt.Errorf("%w; see how the mesh is: %s status; start it: %s up", err, self(), self())}
	}
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// endFirst removes the progress line before anything else is written.
type endFirst struct {
	w io.Writer
	*query.ProgressLine
}

func (e *endFirst) Write(b []byte) (int, error) {
	e.End()
	return e.w.Write(b)
}
