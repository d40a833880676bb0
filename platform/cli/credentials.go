package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

func newCredentialsCommand() *cobra.Command {
	var (
		show   bool
		format string
	)
	cmd := &cobra.Command{
		Use:   "credentials [NAME]",
		Short: "Show people, API keys and passwords of the mesh",
		Long: `Without a name, list what the mesh has secrets for. With a name, print that
secret alone on standard output.

"meesh up" makes all of them; they lie in the state folder, readable only for
the account of the servers.`,
		Example: `  meesh credentials
  meesh credentials mike
  curl -H "Authorization: Bearer $(meesh credentials sales-reader)" localhost:30081/v1/customers`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			out, err := query.NewWriter(format, cmd.OutOrStdout())
			if err != nil {
				return usageError(cmd, err)
			}
			s, err := openSecrets()
			if err != nil {
				return err
			}
			if len(given) == 1 {
				return showSecret(cmd.OutOrStdout(), s, given[0])
			}
			if err := listSecrets(out, s, show); err != nil {
				return err
			}
			if !show {
				say(cmd.ErrOrStderr(), "\nOne of them: %s credentials NAME", self())
			}
			return nil
		},
	}
	cmd.AddCommand(newRotateCommand())
	cmd.Flags().BoolVar(&show, "show", false, "list the secrets themselves too")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
	return cmd
}

func newRotateCommand() *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Make a new API key; the old one opens a while longer",
		Long: `Make a new API key of that name. The services of the running mesh accept it
within a second, without a restart, and the old one until the overlap is over.`,
		Example: `  meesh credentials rotate sales-reader
  meesh credentials rotate sales-admin --overlap 0s   # the old key is known to others: end it now`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if overlap < 0 || overlap > 30*24*time.Hour {
				return usageError(cmd, fmt.Errorf("--overlap %v is not between 0s and 720h", overlap))
			}
			s, err := openSecrets()
			if err != nil {
				return err
			}
			i := slices.IndexFunc(topology.APIKeys, func(k topology.APIKey) bool { return k.Name == given[0] })
			if i < 0 {
				_, err := s.Lookup(given[0])
				if err == nil {
					err = fmt.Errorf("%s is no API key; only API keys can be rotated", given[0])
				}
				return &exitError{exitUsage, fmt.Errorf("%w; all names: %s credentials", err, self())}
			}
			d, err := state.Find()
			if err != nil {
				return err
			}
			m, err := openMesh()
			if err != nil {
				return err
			}
			err = control.NewClient(d).Rotate(cmd.Context(), control.Rotation{Name: given[0], Overlap: overlap})
			if errors.Is(err, control.ErrNotRunning) {
				return err
			}
			m.audit(cmd.Context(), "rotate", given[0], err, "the old key opens for "+overlap.String()+" longer")
			if err != nil {
				return err
			}
			say(cmd.ErrOrStderr(), "%s has a new key: %s credentials %s\nThe old one opens for %v longer.", given[0], self(), given[0], overlap)
			if strings.HasSuffix(given[0], "-logging") {
				say(cmd.ErrOrStderr(), "The API that sends with it takes the new one at the next: %s up", self())
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old key still opens")
	return cmd
}

func showSecret(w io.Writer, s *secrets.Store, name string) error {
	value, err := s.Lookup(name)
	var unknown *secrets.UnknownError
	if errors.As(err, &unknown) {
		return &exitError{exitUsage, fmt.Errorf("%w; all names: %s credentials", err, self())}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, value)
	return err
}

func listSecrets(out query.Writer, s *secrets.Store, show bool) error {
	columns := []query.Column{{Name: "kind"}, {Name: "name"}, {Name: "for"}}
	if show {
		columns = append(columns, query.Column{Name: "secret"})
	}
	if err := out.Header(columns); err != nil {
		return err
	}
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, secret := range all {
		row := []any{string(secret.Kind), secret.Name, secret.For}
		if show {
			value, err := s.Lookup(secret.Name)
			if err != nil {
				return err
			}
			row = append(row, value)
		}
		if err := out.Row(row); err != nil {
			return err
		}
	}
	return out.Close()
}
