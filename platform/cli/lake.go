package cli

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/datameesh/datameesh/platform/hive"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/objectstore"
)

// newObjectStoreKeysCommand is what the supervisor runs when the object store serves.
func newObjectStoreKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "object-store-keys",
		Short:  "Make the buckets of the object store and the keys of its people",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openMesh()
			if err != nil {
				return err
			}
			endpoint, err := local.ObjectStore(m.mesh, m.secrets.StoreKey)
			if err != nil {
				return err
			}
			people, err := m.secrets.Persons()
			if err != nil {
				return err
			}
			gone, err := m.secrets.Gone()
			if err != nil {
				return err
			}
			changes, err := objectstore.Setup(c.Context(), endpoint, objectstore.GrantsOf(people), gone, m.secrets.StoreKey)
			for _, change := range changes {
				say(c.ErrOrStderr(), "%s", change)
			}
			return err
		},
	}
}

// newMetastoreSchemaCommand is what the supervisor runs before the metastore.
func newMetastoreSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "hive-metastore-schema",
		Short:  "Make the tables of the Hive metastore, or verify them",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := openMesh()
			if err != nil {
				return err
			}
			dsn, server, role := local.MetastoreDatabase(m.mesh)
			config, err := pgx.ParseConfig(dsn)
			if err != nil {
				return fmt.Errorf("schema of the Hive metastore: %w", err)
			}
			if config.Password, err = m.secrets.Role(server, role); err != nil {
				return err
			}
			conn, err := pgx.ConnectConfig(c.Context(), config)
			if err != nil {
				return fmt.Errorf("schema of the Hive metastore: %w", err)
			}
			defer func() { _ = conn.Close(c.Context()) }()
			made, err := hive.InitSchema(c.Context(), conn, m.mesh.Tools.Metastore)
			if err != nil {
				return err
			}
			what := "verified"
			if made {
				what = "made"
			}
			say(c.ErrOrStderr(), "tables of version %s %s", hive.SchemaVersion, what)
			return nil
		},
	}
}
