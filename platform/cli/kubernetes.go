package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// newKubernetesCommand hands over to meesh-k8s, which is a program of its own:
// what talks to a cluster is larger than all the rest.
func newKubernetesCommand() *cobra.Command {
	const name = "meesh-k8s"
	return &cobra.Command{
		Use:                "k8s",
		Short:              "Run the mesh on a Kubernetes cluster",
		DisableFlagParsing: true, // they are meesh-k8s'
		RunE: func(_ *cobra.Command, given []string) error {
			folder, err := programFolder()
			if err != nil {
				return err
			}
			program := filepath.Join(folder, name)
			err = syscall.Exec(program, append([]string{name}, given...), os.Environ())
			if errors.Is(err, fs.ErrNotExist) {
				return &exitError{exitUnreachable, fmt.Errorf("%s is not there; build it with: make build/k8s", program)}
			}
			return fmt.Errorf("run %s: %w", program, err)
		},
	}
}
