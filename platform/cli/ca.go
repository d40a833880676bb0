package cli

import (
	"github.com/spf13/cobra"
)

func newCACommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ca",
		Short: "Print the certificate of the local CA",
		Long: `Print the certificate of the CA that signed Trino's certificate, as PEM. A
client that trusts it can check that it talks to this mesh.`,
		Example: `  meesh ca > datameesh-ca.pem
  curl --cacert datameesh-ca.pem https://localhost:30808/v1/info`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := openSecrets()
			if err != nil {
				return err
			}
			ca, err := s.CA()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(ca)
			return err
		},
	}
}
