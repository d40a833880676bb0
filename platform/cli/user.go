package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

func newUserCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Add, change, remove and list the people of the mesh",
		Long: `The people of the mesh are one list: whoever is on it can log in to Trino,
JupyterHub and Grafana, and has a key of the object store and, where their group
may, log-ins to the databases. What a group may do stands in
platform/policy/policy.yaml and in docs/security.md.

Everything follows while the mesh runs, within seconds; queries that run go on.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newUserListCommand(), newUserAddCommand(), newUserRemoveCommand(), newUserPasswordCommand(), newUserRotateCommand())
	return c
}

func newUserListCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the people of the mesh and what their groups may do",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := query.NewWriter(format, c.OutOrStdout())
			if err != nil {
				return usageError(c, err)
			}
			s, err := openSecrets()
			if err != nil {
				return err
			}
			people, err := s.Persons()
			if err != nil {
				return err
			}
			admin, err := s.AdminPassword()
			if err != nil {
				return err
			}
			if admin != "" {
				people = append(people, topology.Admin)
			}
			if err := out.Header([]query.Column{{Name: "name"}, {Name: "group"}, {Name: "region"}, {Name: "does"}, {Name: "group_may"}}); err != nil {
				return err
			}
			for _, p := range people {
				region := p.Region
				if region == "" {
					region = "all"
				}
				if err := out.Row([]any{p.Name, p.Group, region, p.Does, policy.TheMesh().Groups[p.Group].Does}); err != nil {
					return err
				}
			}
			return out.Close()
		},
	}
	c.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return c
}

// passwordFlag says where a password comes from; never the command line, which
// everybody on the machine can read.
type passwordFlag struct{ file string }

func (f *passwordFlag) add(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "password-file", "", "read the password from the first line of a file; - for standard input")
}

// read gets the password from the file, or asks for it twice on a terminal.
func (f *passwordFlag) read(c *cobra.Command, name string) (string, error) {
	if f.file != "" {
		in := c.InOrStdin()
		if f.file != "-" {
			file, err := os.Open(f.file)
			if err != nil {
				return "", &exitError{exitUsage, fmt.Errorf("read the password: %w", err)}
			}
			defer func() { _ = file.Close() }()
			in = file
		}
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", usageError(c, errors.New("no password: give --password-file FILE, or - to read it from standard input"))
	}
	var typed [2]string
	for i, ask := range []string{"New password of " + name + ": ", "Once more: "} {
		fmt.Fprint(c.ErrOrStderr(), ask)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(c.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", usageError(c, errors.New("the two passwords differ; nothing was changed"))
	}
	return typed[0], nil
}

func newUserAddCommand() *cobra.Command {
	var (
		p        topology.Person
		password passwordFlag
	)
	c := &cobra.Command{
		Use:   "add NAME --group GROUP",
		Short: "Add somebody to the mesh",
		Long: `Adds somebody. Without --password-file they get a password that is made:
meesh credentials NAME.`,
		Example: `  meesh user add dana --group data_science --does "data scientist"
  meesh user add nora --group marketing_team --region APAC
  meesh user add tom --group analysts --password-file - < password.txt`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			p.Name = given[0]
			if p.Does == "" {
				p.Does = strings.ReplaceAll(p.Group, "_", " ")
			}
			change := control.PersonChange{Do: control.AddPerson, Person: p}
			if password.file != "" {
				var err error
				if change.Password, err = password.read(c, p.Name); err != nil {
					return err
				}
				if err := secrets.CheckPersonPassword(p.Name, change.Password); err != nil {
					return usageError(c, err)
				}
			}
			if err := changePeople(c, change, true); err != nil {
				return err
			}
			say(c.ErrOrStderr(), "%s may: %s. The password: %s credentials %[1]s", p.Name, policy.TheMesh().Groups[p.Group].Does, self())
			return nil
		},
	}
	c.Flags().StringVar(&p.Group, "group", "", "group of the person: "+strings.Join(policy.TheMesh().GroupNames(), ", "))
	c.Flags().StringVar(&p.Does, "does", "", "what the person does, a few words")
	c.Flags().StringVar(&p.Region, "region", "", "limit what they see to a region: "+strings.Join(topology.Regions, ", "))
	password.add(c)
	if err := c.MarkFlagRequired("group"); err != nil {
		panic(err) // there is no such flag
	}
	return c
}

func newUserRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove somebody from the mesh; what they made stays",
		Long: `Removes somebody: their password, keys and log-ins open nothing any more, and
sessions on databases, in JupyterHub and their notebook server end. Their schema
in the lake, their files and their notebooks stay; whoever is added under the name
later begins with an empty home folder. A token of theirs for Trino authenticates
until it ends; it opens nothing.`,
		Example: `  meesh user rm dana`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return changePeople(c, control.PersonChange{Do: control.RemovePerson, Person: topology.Person{Name: given[0]}}, false)
		},
	}
}

func newUserPasswordCommand() *cobra.Command {
	var password passwordFlag
	c := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Set somebody's password, typed or from a file",
		Example: `  meesh user passwd alex
  meesh user passwd alex --password-file - < password.txt`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			change := control.PersonChange{Do: control.SetPassword, Person: topology.Person{Name: given[0]}}
			var err error
			if change.Password, err = password.read(c, given[0]); err != nil {
				return err
			}
			if err := secrets.CheckPersonPassword(given[0], change.Password); err != nil {
				return usageError(c, err)
			}
			return changePeople(c, change, true)
		},
	}
	password.add(c)
	return c
}

func newUserRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rotate NAME",
		Short:   "Make somebody's password, key and log-ins to databases anew",
		Example: `  meesh user rotate alex && meesh credentials alex`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return changePeople(c, control.PersonChange{Do: control.RotatePerson, Person: topology.Person{Name: given[0]}}, true)
		},
	}
}

// followTime is how long the tools may take to follow a change.
const followTime = 2 * time.Minute

// changePeople has the supervisor make the change and waits until everything
// has followed. opens tells whether the person can log in afterwards.
func changePeople(c *cobra.Command, change control.PersonChange, opens bool) error {
	m, err := openMesh()
	if err != nil {
		return err
	}
	name := change.Person.Name
	before, err := m.secrets.Person(name)
	if err != nil {
		before = "" // nobody yet
	}
	client := control.NewClient(m.dir)
	changes, err := client.ChangePerson(c.Context(), change)
	m.audit(c.Context(), map[string]string{
		control.AddPerson: "add-user", control.RemovePerson: "remove-user", control.SetPassword: "set-password", control.RotatePerson: "rotate",
	}[change.Do], name, err, change.Person.Group)
	if refused, ok := errors.AsType[*secrets.PersonError](err); ok {
		return &exitError{exitUsage, fmt.Errorf("%w; nothing was changed", refused)}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), followTime)
	defer cancel()
	if change.Do == control.RemovePerson {
		// The hub does it too, when it runs.
		if _, err := jupyterhub.StopServers(ctx, local.NotebookMark(m.dir), name, notebookGrace); err != nil {
			return &exitError{exitUnreachable, fmt.Errorf("%s is removed, but: %w", name, err)}
		}
	}
	var waiting []string
	trino := false
	err = client.Watch(ctx, func(r control.Report) bool {
		waiting = nil
		for _, component := range r.Components {
			if component.Name == "trino" {
				trino = component.State == supervise.Ready
			}
			if slices.Contains(slices.Concat(changes.Started, changes.Restarted), component.Name) && !component.Ready {
				waiting = append(waiting, component.Name)
			}
		}
		return len(waiting) > 0
	})
	if err != nil {
		return &exitError{exitUnreachable, fmt.Errorf("%s is changed, but these have not followed yet: %s (%w); see: %s status --all", name, strings.Join(waiting, ", "), err, self())}
	}
	if trino {
		password := before
		if opens {
			if password, err = m.secrets.Person(name); err != nil {
				return err
			}
		}
		if err := m.awaitLogin(ctx, name, password, opens); err != nil {
			return err
		}
	}
	done := map[string]string{
		control.AddPerson: "is added", control.RemovePerson: "is removed",
		control.SetPassword: "has the new password", control.RotatePerson: "has a new password, key and log-ins",
	}[change.Do]
	say(c.ErrOrStderr(), "%s %s; everything has followed.", name, done)
	return nil
}

// awaitLogin waits until Trino, which reads its files every five seconds, takes
// the password, or refuses it.
func (m *startedMesh) awaitLogin(ctx context.Context, name, password string, opens bool) error {
	if password == "" {
		return nil
	}
	client, err := m.clientWith(name, password, "meesh user", nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for {
		_, err := client.Texts(ctx, "SELECT 1")
		if login, refused := errors.AsType[*query.LoginError](err); err == nil && opens || refused && !login.Throttled && !opens {
			return nil
		}
		select {
		case <-ctx.Done():
			return &exitError{exitUnreachable, fmt.Errorf("%s is changed, but Trino has not followed (%w); see: %s logs trino", name, errors.Join(err, ctx.Err()), self())}
		case <-time.After(500 * time.Millisecond):
		}
	}
}
