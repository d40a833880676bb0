// Mesh-policy writes the files of Trino that platform/policy/policy.yaml decides, or verifies them.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
)

func main() {
	out := flag.String("out", "platform/trino/etc", "folder of Trino's configuration")
	verify := flag.Bool("verify", false, "only compare; exit 1 when a file differs")
	flag.Parse()
	if err := run(*out, *verify); err != nil {
		fmt.Fprintln(os.Stderr, "mesh-policy:", err)
		os.Exit(1)
	}
}

func run(out string, verify bool) error {
	p := policy.TheMesh()
	// Those whom every mesh begins with; a mesh on one machine writes its own.
	people := append(slices.Clone(topology.People), topology.Admin)
	for _, f := range []struct {
		name string
		make func() ([]byte, error)
	}{
		{"rules.json", func() ([]byte, error) { return p.Rules(people, nil) }},
		{"resource-groups.json", p.ResourceGroups},
		{"session-property-config.json", p.SessionProperties},
	} {
		want, err := f.make()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		path := filepath.Join(out, f.name)
		if !verify {
			if err := os.WriteFile(path, want, 0o644); err != nil { //nolint:gosec // it holds no secret
				return err
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want) {
			return fmt.Errorf("%s is not what platform/policy/policy.yaml says; run: make policy", path)
		}
	}
	return nil
}
