package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/query"
	"github.com/datameesh/datameesh/platform/secrets"
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
	cmd.Flags().BoolVar(&show, "show", false, "list the secrets themselves too")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "output format: "+strings.Join(query.Formats, ", "))
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
