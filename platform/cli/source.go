package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/source"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/trino"
)

func newSourceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "source",
		Short: "Add data sources to Trino, list and remove them",
		Args:  args(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSourceAddCommand(), newSourceListCommand(), newSourceRemoveCommand())
	return c
}

type sourceOptions struct {
	postgres, s3, passwordFile string
	groups                     []string
	wait                       time.Duration
}

func newSourceAddCommand() *cobra.Command {
	var o sourceOptions
	c := &cobra.Command{
		Use:   "add NAME (--postgres URL | --s3 PREFIX)",
		Short: "Make a database or a folder of Parquet files a catalog of Trino",
		Long: `Makes a PostgreSQL database, or a folder of Parquet files in the lake's bucket, the
catalog NAME of Trino. Engineers read it, others by --allow.

The password of a database is asked for, or read from --password-file (- for standard
input); it never stands in an argument, in SQL or in Trino's files.

Trino learns of a catalog when it starts, so it is restarted: queries that run are waited
for, those that begin meanwhile too, and for some 20 to 60 seconds nobody can query.
When anything fails, all is as it was before. The databases, the services and the
dashboards of the domains notice nothing.

Of --s3, each folder below the prefix is a table NAME.files.FOLDER, and files that lie
directly below it are the table NAME.files.NAME.`,
		Example: `  meesh source add crm --postgres postgres://reader@crm.example:5432/crm --password-file crm.password
  meesh source add weather --s3 s3://datalake/analytics/weather/ --allow data_science,analysts
  meesh query "SELECT count(*) FROM weather.files.weather"`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if (o.postgres == "") == (o.s3 == "") {
				return usageError(c, errors.New("say what the source is: --postgres URL or --s3 PREFIX"))
			}
			if o.s3 != "" && o.passwordFile != "" {
				return usageError(c, errors.New("--password-file is for --postgres: files are read with the mesh's own key"))
			}
			if o.wait < 0 {
				return usageError(c, fmt.Errorf("--wait %v: choose 0 for not at all, or a time like 5m", o.wait))
			}
			err := addSource(c, given[0], o)
			if wrong, ok := errors.AsType[*source.InvalidError](err); ok {
				return usageError(c, wrong)
			}
			if away, ok := errors.AsType[*source.UnreachableError](err); ok {
				return &exitError{exitUnreachable, fmt.Errorf("%w; nothing was changed", away)}
			}
			return err
		},
	}
	c.Flags().StringVar(&o.postgres, "postgres", "", "postgres://USER@HOST:5432/DATABASE, also with ?sslmode=disable, prefer or require")
	c.Flags().StringVar(&o.s3, "s3", "", "folder of Parquet files: s3://"+objectstore.Lake+"/FOLDER/")
	c.Flags().StringVar(&o.passwordFile, "password-file", "", "file with the password; - for standard input")
	c.Flags().StringSliceVar(&o.groups, "allow", nil, "groups that read it beside engineers, several times or with commas")
	c.Flags().DurationVar(&o.wait, "wait", 5*time.Minute, "how long to wait for running queries before giving up; 0 ends them")
	return c
}

func newSourceListCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "list", Short: "List the sources that were added", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := query.NewWriter(format, c.OutOrStdout())
			if err != nil {
				return usageError(c, err)
			}
			d, err := state.Find()
			if err != nil {
				return err
			}
			m, err := state.Load(d)
			if err != nil {
				return err
			}
			if err := out.Header([]query.Column{{Name: "name"}, {Name: "kind"}, {Name: "where"}, {Name: "user"}, {Name: "groups"}}); err != nil {
				return err
			}
			for _, s := range m.Sources {
				kind, where, user := describe(s)
				groups := strings.Join(append([]string{"engineers"}, s.Groups...), ", ")
				if err := out.Row([]any{s.Name, kind, where, user, groups}); err != nil {
					return err
				}
			}
			if len(m.Sources) == 0 {
				say(c.ErrOrStderr(), "No source was added. Add one: %s source add --help", self())
			}
			return out.Close()
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return c
}

// describe says what a source is: its kind, where it is, and who reads it.
func describe(s state.Source) (kind, where, user string) {
	if s.Postgres != nil {
		return "postgresql", s.Postgres.Address + "/" + s.Postgres.Database, s.Postgres.User
	}
	return "parquet", "s3://" + objectstore.Lake + "/" + s.Prefix, "trino"
}

func newSourceRemoveCommand() *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a source from Trino; its data stays where it is",
		Long: `Removes a source that "meesh source add" added: its catalog, its password and its
rules. The database or the files themselves are not touched. Trino is restarted as by
add.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return removeSource(c, given[0], wait)
		},
	}
	c.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for running queries before giving up; 0 ends them")
	return c
}

// A sourceChange is one run of "source add" or "source rm".
type sourceChange struct {
	*startedMesh
	log    io.Writer
	client *control.Client
}

// beginSource locks the mesh, which must run.
func beginSource(c *cobra.Command, what string) (s *sourceChange, unlock func(), err error) {
	m, err := openMesh()
	if err != nil {
		return nil, nil, err
	}
	if unlock, err = lockMesh(c.Context(), m.dir, what, c.ErrOrStderr()); err != nil {
		return nil, nil, err
	}
	// Whoever held the lock may have changed it.
	if m, err = openMesh(); err == nil {
		s = &sourceChange{m, c.ErrOrStderr(), control.NewClient(m.dir)}
		_, err = s.trino(c.Context())
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return s, unlock, nil
}

// trino is the component, which must be ready.
func (s *sourceChange) trino(ctx context.Context) (supervise.Status, error) {
	report, err := s.client.Status(ctx)
	if err != nil {
		return supervise.Status{}, err
	}
	i := slices.IndexFunc(report.Components, func(c supervise.Status) bool { return c.Name == "trino" })
	if i < 0 || !report.Components[i].Ready {
		return supervise.Status{}, &exitError{exitUnreachable, fmt.Errorf("trino is not ready, so nothing was changed; see: %s status", self())}
	}
	return report.Components[i], nil
}

func addSource(c *cobra.Command, name string, o sourceOptions) (err error) {
	ctx := c.Context()
	added := state.Source{Name: name, Groups: o.groups}
	// What is wrong whatever the mesh is like is said first.
	if err := source.CheckName(name, nil); err != nil {
		return err
	}
	if o.postgres != "" {
		p, err := source.ParsePostgres(o.postgres)
		if err != nil {
			return err
		}
		added.Postgres = &p
	} else if added.Prefix, err = source.ParsePrefix(o.s3, objectstore.Lake); err != nil {
		return err
	}
	s, unlock, err := beginSource(c, "meesh source add")
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkNew(added); err != nil {
		return err
	}
	var (
		password string
		expect   expectation
	)
	if added.Postgres != nil {
		if password, err = readPassword(c, *added.Postgres, o.passwordFile); err != nil {
			return err
		}
		found, err := source.CheckPostgres(ctx, *added.Postgres, password)
		if err != nil {
			return err
		}
		expect.tables = found.Tables
		say(s.log, "%s answers: %d tables can be read.", added.Postgres.Address, len(found.Tables))
		if found.Superuser {
			say(s.log, "Note: %s is a superuser there. A role that only reads is safer.", added.Postgres.User)
		}
	} else if expect.files, err = s.readFiles(ctx, added); err != nil {
		return err
	}
	if err := s.drain(ctx, o.wait); err != nil {
		return err
	}
	before := s.mesh
	after := before
	after.Sources = append(slices.Clone(before.Sources), added)
	defer func() {
		_, where, _ := describe(added)
		s.audit(ctx, "add-source", name, err, where)
	}()
	begin := time.Now()
	if err = s.apply(ctx, after, control.SourcePassword{Name: name, Password: password}); err == nil {
		err = s.check(ctx, added, expect)
	}
	if err != nil {
		say(s.log, "%s does not work: %v", name, err)
		say(s.log, "Going back to how it was; Trino restarts once more.")
		// Also after Ctrl-C: half a change is worse than a late prompt.
		if backErr := s.undo(context.WithoutCancel(ctx), added, before); backErr != nil {
			return fmt.Errorf("%w; and going back failed: %w; %s up brings it in line", err, backErr, self())
		}
		say(s.log, "%s was not added; all is as it was.", name) // whoever pressed Ctrl-C sees no error
		return fmt.Errorf("add the source %s: %w", name, err)
	}
	say(s.log, "%s is there; Trino was away for %.0f s. Next: %s query \"SHOW TABLES FROM %s.%s\"",
		name, time.Since(begin).Seconds(), self(), name, expect.schema())
	return nil
}

// checkNew says whether the mesh can have the source.
func (s *sourceChange) checkNew(added state.Source) error {
	taken, err := trino.CatalogNames()
	if err != nil {
		return err
	}
	for _, other := range s.mesh.Sources {
		taken = append(taken, other.Name)
	}
	if err := source.CheckName(added.Name, taken); err != nil {
		return err
	}
	if added.Prefix != "" && !s.mesh.Lake() {
		return &exitError{exitUnreachable, fmt.Errorf("this mesh has no object store (profile %s); give it one: %s up --profile %s", s.mesh.Profile, self(), state.ProfileFull)}
	}
	groups := policy.TheMesh().GroupNames()
	for _, g := range added.Groups {
		if !slices.Contains(groups, g) {
			return &source.InvalidError{Reason: fmt.Sprintf("--allow %s: there is no group of that name; choose of %s", g, strings.Join(groups, ", "))}
		}
	}
	return nil
}

// readPassword reads the password from a file, or asks for it.
func readPassword(c *cobra.Command, p state.PostgresSource, file string) (string, error) {
	var (
		text []byte
		err  error
	)
	switch stdin, isFile := c.InOrStdin().(*os.File); {
	case file == "-":
		text, err = io.ReadAll(io.LimitReader(c.InOrStdin(), 64<<10))
	case file != "":
		text, err = os.ReadFile(file)
	case isFile && term.IsTerminal(int(stdin.Fd())):
		fmt.Fprintf(c.ErrOrStderr(), "Password of %s at %s: ", p.User, p.Address)
		text, err = term.ReadPassword(int(stdin.Fd()))
		fmt.Fprintln(c.ErrOrStderr())
	default:
		return "", &source.InvalidError{Reason: "there is no terminal to ask for the password; name a file with it by --password-file, or - for standard input"}
	}
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("read the password: %w", err)}
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	return password, source.CheckPassword(password)
}

// readFiles reads the tables below the prefix of a source.
func (s *sourceChange) readFiles(ctx context.Context, added state.Source) ([]source.Table, error) {
	client, err := s.storeClient()
	if err != nil {
		return nil, err
	}
	tables, err := source.Tables(ctx, client, objectstore.Lake, added.Prefix, added.Name)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		say(s.log, "s3://%s/%s: %d files, %d rows, %d columns.", objectstore.Lake, t.Folder, t.Files, t.Rows, len(t.Columns))
	}
	return tables, nil
}

func (s *sourceChange) storeClient() (*minio.Client, error) {
	endpoint, err := local.ObjectStore(s.mesh, s.secrets.StoreKey)
	if err != nil {
		return nil, err
	}
	return endpoint.Client(objectstore.Root, endpoint.Secret)
}

// sourceProgram is how these commands call themselves to Trino.
const sourceProgram = "meesh source"

// drain waits until no query runs. Trino's coordinator cannot be asked to take no
// new ones, so those that begin meanwhile are waited for too.
func (s *sourceChange) drain(ctx context.Context, wait time.Duration) error {
	client, err := s.startedMesh.client("collector", sourceProgram) // who sees the queries of all
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // only read
	ctx, cancel := context.WithTimeout(ctx, wait+time.Minute)
	defer cancel()
	begin := time.Now()
	known := map[string]bool{}
	for first := true; ; first = false {
		rows, err := client.Texts(ctx, `
			SELECT query_id, "user", state, date_diff('second', created, now())
			  FROM system.runtime.queries
			 WHERE state NOT IN ('FINISHED', 'FAILED')
			   AND coalesce(source, '') <> '`+sourceProgram+`'
			 ORDER BY created`)
		if err != nil {
			return s.queryError(err)
		}
		if len(rows) == 0 {
			if !first {
				say(s.log, "No query runs any more.")
			}
			return nil
		}
		for _, r := range rows {
			if known[r[0]] {
				continue
			}
			known[r[0]] = true
			what := "Waiting for"
			if !first {
				what = "Has begun meanwhile, waiting for it too:"
			}
			say(s.log, "%s query %s by %s, %s for %s s.", what, r[0], r[1], strings.ToLower(r[2]), r[3])
		}
		if wait == 0 {
			say(s.log, "--wait 0: %d queries are ended by the restart.", len(rows))
			return nil
		}
		if time.Since(begin) > wait {
			return fmt.Errorf("%d queries still run after %v, so nothing was changed; wait longer with --wait, or end them with --wait 0", len(rows), wait)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply makes the mesh have these sources, and waits for Trino. password is kept
// before a catalog needs it, or removed.
func (s *sourceChange) apply(ctx context.Context, m state.Mesh, password control.SourcePassword) error {
	status, err := s.trino(ctx)
	if err != nil {
		return err
	}
	if password.Password != "" {
		if err := s.client.SetSource(ctx, password); err != nil {
			return err
		}
	}
	if err := state.Save(s.dir, m); err != nil {
		return err
	}
	return s.restart(ctx, status)
}

// restart has Trino read its catalogs anew, and waits until it has. before is what its
// coordinator is now.
func (s *sourceChange) restart(ctx context.Context, before supervise.Status) error {
	say(s.log, "Trino restarts to read its catalogs; up to a minute.")
	if err := s.reconcile(ctx); err != nil {
		return err
	}
	var failed error
	err := s.client.Watch(ctx, func(r control.Report) bool {
		waiting := false
		for _, c := range r.Components {
			if c.Group != local.Trino || c.Name != "trino" && !strings.HasPrefix(c.Name, "trino-") {
				continue
			}
			switch {
			case c.State == supervise.Failed || c.Failures >= 2:
				failed = fmt.Errorf("%s does not start: %s\n%s", c.Name, c.Error, strings.Join(c.LogTail, "\n"))
				return false
			case !c.Ready, c.Name == "trino" && c.PID == before.PID:
				waiting = true
			}
		}
		return waiting
	})
	return errors.Join(err, failed)
}

// reconcile has the supervisor read the state folder again.
func (s *sourceChange) reconcile(ctx context.Context) error {
	// The person admin stays as they are.
	admin, err := s.secrets.AdminPassword()
	if err != nil {
		return err
	}
	_, err = s.client.Reconcile(ctx, control.Order{AdminPassword: admin})
	return err
}

// undo goes back to a mesh without the source.
func (s *sourceChange) undo(ctx context.Context, gone state.Source, before state.Mesh) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.restore(ctx, before); err != nil {
		return err
	}
	return s.forget(ctx, gone)
}

// restore is apply for a Trino that may not run.
func (s *sourceChange) restore(ctx context.Context, before state.Mesh) error {
	if err := state.Save(s.dir, before); err != nil {
		return err
	}
	if err := s.reconcile(ctx); err != nil {
		return err
	}
	return s.client.Watch(ctx, func(r control.Report) bool {
		return slices.ContainsFunc(r.Components, func(c supervise.Status) bool {
			return c.Group == local.Trino && (c.Name == "trino" || strings.HasPrefix(c.Name, "trino-")) && !c.Ready
		})
	})
}

// forget removes what is left of a source that no catalog names any more.
func (s *sourceChange) forget(ctx context.Context, gone state.Source) error {
	if err := s.client.SetSource(ctx, control.SourcePassword{Name: gone.Name}); err != nil {
		return err
	}
	if gone.Prefix == "" {
		return nil
	}
	client, err := s.storeClient()
	if err != nil {
		return err
	}
	// The descriptions of the tables, not their files.
	left, err := descriptions(ctx, client, gone.Name)
	if err != nil {
		return err
	}
	objects := make(chan minio.ObjectInfo, len(left))
	for _, object := range left {
		objects <- object
	}
	close(objects)
	for failed := range client.RemoveObjects(ctx, objectstore.Lake, objects, minio.RemoveObjectsOptions{}) {
		return fmt.Errorf("remove the descriptions of %s: %s: %w", gone.Name, failed.ObjectName, failed.Err)
	}
	return nil
}

// descriptions are the objects that describe the tables of a source of files.
func descriptions(ctx context.Context, client *minio.Client, name string) (all []minio.ObjectInfo, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing
	for object := range client.ListObjects(ctx, objectstore.Lake, minio.ListObjectsOptions{Prefix: trino.SourceFolder(name), Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list the descriptions of %s: %w", name, object.Err)
		}
		all = append(all, object)
	}
	return all, nil
}

// leftOf finds what was left of a source that no list names, by a removal that was cut off;
// false when there is nothing.
func (s *sourceChange) leftOf(ctx context.Context, name string) (left state.Source, found bool, err error) {
	if err := source.CheckName(name, nil); err != nil {
		return left, false, nil //nolint:nilerr // nothing ever had such a name
	}
	left.Name = name
	if found, err = s.secrets.HasSource(name); err != nil {
		return left, false, fmt.Errorf("look for the password of %s: %w", name, err)
	}
	if !s.mesh.Lake() {
		return left, found, nil
	}
	client, err := s.storeClient()
	if err != nil {
		return left, false, err
	}
	objects, err := descriptions(ctx, client, name)
	if err != nil {
		return left, false, err
	}
	if len(objects) > 0 {
		left.Prefix, found = trino.SourceFolder(name), true
	}
	return left, found, nil
}

// An expectation is what a source must show through Trino, found without it.
type expectation struct {
	tables []string // schema.table
	files  []source.Table
}

func (e expectation) schema() string {
	if len(e.files) > 0 {
		return trino.SourceSchema
	}
	schema, _, _ := strings.Cut(e.tables[0], ".")
	return schema
}

// check asks Trino for the source as an engineer, and as somebody who may not see it.
func (s *sourceChange) check(ctx context.Context, added state.Source, expect expectation) error {
	engineer, err := s.engineer()
	if err != nil {
		return err
	}
	client, err := s.startedMesh.client(engineer, sourceProgram)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // nothing is under way
	catalog := source.Quote(added.Name)
	probe := ""
	if added.Postgres != nil {
		// One that is there: those that Trino cannot read are not.
		rows, err := client.Texts(ctx, `SELECT table_schema, table_name FROM `+catalog+`.information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 1, 2`)
		if err != nil {
			return s.queryError(err)
		}
		seen := 0
		for _, r := range rows {
			if slices.Contains(expect.tables, r[0]+"."+r[1]) {
				if seen++; probe == "" {
					probe = catalog + "." + source.Quote(r[0]) + "." + source.Quote(r[1])
				}
			}
		}
		if seen == 0 {
			return fmt.Errorf("it is there, and Trino sees none of its %d tables", len(expect.tables))
		}
		if _, err := client.Texts(ctx, `SELECT 1 FROM `+probe+` LIMIT 1`); err != nil {
			return s.queryError(err)
		}
		say(s.log, "Checked: Trino sees %d of its %d tables.", seen, len(expect.tables))
	} else {
		if _, err := client.Texts(ctx, `CREATE SCHEMA IF NOT EXISTS `+catalog+`.`+trino.SourceSchema); err != nil {
			return s.queryError(err)
		}
		for _, t := range expect.files {
			if _, err := client.Texts(ctx, t.Create(added.Name, trino.SourceSchema, objectstore.Lake)); err != nil {
				return s.queryError(err)
			}
			probe = catalog + "." + trino.SourceSchema + "." + source.Quote(t.Name)
			rows, err := client.Texts(ctx, `SELECT count(*) FROM `+probe)
			if err != nil {
				return s.queryError(err)
			}
			if rows[0][0] != strconv.FormatInt(t.Rows, 10) {
				return fmt.Errorf("read by Trino: %s rows of %s, its files have %d", rows[0][0], t.Folder, t.Rows)
			}
			// All columns, or a type that does not fit the files would show later.
			if _, err := client.Texts(ctx, `SELECT * FROM `+probe+` LIMIT 1`); err != nil {
				return s.queryError(err)
			}
			say(s.log, "Checked: Trino reads the %d rows of %s.", t.Rows, t.Name)
		}
	}
	return s.checkOthers(ctx, added, probe)
}

// checkOthers asks as one of each group: who may read can, who may not is refused.
func (s *sourceChange) checkOthers(ctx context.Context, added state.Source, table string) error {
	people, err := s.secrets.People()
	if err != nil {
		return err
	}
	asked := map[string]bool{"engineers": true, "services": true, "services_ro": true}
	for _, p := range people {
		if asked[p.Group] {
			continue
		}
		asked[p.Group] = true
		client, err := s.startedMesh.client(p.Name, sourceProgram)
		if err != nil {
			return err
		}
		_, err = client.Texts(ctx, `SELECT 1 FROM `+table+` LIMIT 1`)
		_ = client.Close()
		refused, ok := errors.AsType[*query.Error](err)
		denied := ok && refused.Name == "PERMISSION_DENIED"
		switch may := slices.Contains(added.Groups, p.Group); {
		case may && err != nil:
			return fmt.Errorf("%s of %s cannot read it: %w", p.Name, p.Group, err)
		case !may && err == nil:
			return fmt.Errorf("%s of %s can read it, and must not", p.Name, p.Group)
		case !may && !denied:
			return s.queryError(err)
		}
	}
	return nil
}

func removeSource(c *cobra.Command, name string, wait time.Duration) (err error) {
	ctx := c.Context()
	s, unlock, err := beginSource(c, "meesh source rm")
	if err != nil {
		return err
	}
	defer unlock()
	i := slices.IndexFunc(s.mesh.Sources, func(x state.Source) bool { return x.Name == name })
	if i < 0 {
		return s.removeLeft(ctx, name)
	}
	gone := s.mesh.Sources[i]
	if err := s.drain(ctx, wait); err != nil {
		return err
	}
	defer func() {
		_, where, _ := describe(gone)
		s.audit(ctx, "remove-source", name, err, where)
	}()
	after := s.mesh
	after.Sources = slices.Delete(slices.Clone(s.mesh.Sources), i, i+1)
	begin := time.Now()
	status, err := s.trino(ctx)
	if err != nil {
		return err
	}
	if err = s.take(ctx, gone, after, status); err != nil {
		return err
	}
	say(s.log, "%s is gone; Trino was away for %.0f s. Its data was not touched.", name, time.Since(begin).Seconds())
	return nil
}

// take makes the mesh have no such source any more. What is left of it goes also when Trino
// does not restart, or after Ctrl-C: it stands in no list then, so nobody would look for it.
func (s *sourceChange) take(ctx context.Context, gone state.Source, after state.Mesh, trino supervise.Status) error {
	if err := state.Save(s.dir, after); err != nil {
		return err
	}
	err := s.restart(ctx, trino)
	forgetting, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if forgetErr := s.forget(forgetting, gone); forgetErr != nil {
		return errors.Join(err, fmt.Errorf("%w; what is left of %s goes with: %s source rm %[2]s", forgetErr, gone.Name, self()))
	}
	if err != nil {
		return fmt.Errorf("%s was removed, and Trino may not have restarted yet: %w; see: %s status", gone.Name, err, self())
	}
	return nil
}

// removeLeft forgets what a removal that was cut off has left of a source.
func (s *sourceChange) removeLeft(ctx context.Context, name string) error {
	left, found, err := s.leftOf(ctx, name)
	if err != nil {
		return err
	}
	if !found {
		var names []string
		for _, x := range s.mesh.Sources {
			names = append(names, x.Name)
		}
		hint := "none was added"
		if len(names) > 0 {
			hint = "there are: " + strings.Join(names, ", ")
		}
		return &exitError{exitUsage, fmt.Errorf("no source is called %q; %s", name, hint)}
	}
	err = s.forget(ctx, left)
	s.audit(ctx, "remove-source", name, err, "what an earlier removal had left")
	if err != nil {
		return err
	}
	say(s.log, "%s was removed before; what was left of it is gone now.", name)
	return nil
}
