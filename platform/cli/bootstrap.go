package cli

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/bootstrap"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

// newBootstrapCommand is what the supervisor runs before the migrations.
func newBootstrapCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "bootstrap SERVER",
		Short:  "Make the roles and databases of a PostgreSQL server",
		Hidden: true,
		Args:   args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			server, ok := topology.ServerNamed(given[0])
			if !ok {
				var names []string
				for _, s := range topology.Servers {
					names = append(names, s.Name)
				}
				return usageError(cmd, fmt.Errorf("there is no server %q; choose one of %s", given[0], strings.Join(names, ", ")))
			}
			m, err := openMesh()
			if err != nil {
				return err
			}
			cfg, err := m.bootstrapConfig(server)
			if err != nil {
				return err
			}
			people, err := m.secrets.Persons()
			if err != nil {
				return err
			}
			plan := bootstrap.PlanFor(server, policy.TheMesh().LogIns(server.Name, people))
			changes, err := bootstrap.Run(cmd.Context(), plan, cfg)
			for _, change := range changes {
				say(cmd.ErrOrStderr(), "%s", change)
			}
			if err != nil {
				return err
			}
			say(cmd.ErrOrStderr(), "%s: %d changes", server.Name, len(changes))
			return nil
		},
	}
}

// bootstrapConfig says how to reach the servers of this mesh.
func (m *startedMesh) bootstrapConfig(server topology.Server) (bootstrap.Config, error) {
	const host = "127.0.0.1"
	password, err := m.secrets.Role(server.Name, topology.Superuser)
	if err != nil {
		return bootstrap.Config{}, err
	}
	dsn := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(topology.Superuser, password),
		Host:     net.JoinHostPort(host, strconv.Itoa(m.mesh.Port(server.Port))),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return bootstrap.Config{
		DSN:      dsn.String(),
		Password: func(role string) (string, error) { return m.secrets.Role(server.Name, role) },
		MaskKey:  m.secrets.MaskKey,
		Remote: func(name, role string) (string, int, string, error) {
			remote, ok := topology.ServerNamed(name)
			if !ok {
				return "", 0, "", fmt.Errorf("no server %s in the topology", name)
			}
			password, err := m.secrets.Role(name, role)
			return host, m.mesh.Port(remote.Port), password, err
		},
	}, nil
}
