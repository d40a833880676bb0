// Command network-policies writes the NetworkPolicies of the mesh from network-matrix.yaml, or with -verify says which files differ.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/datameesh/datameesh/k8s/matrix"
	"github.com/datameesh/datameesh/platform/topology"
)

// folders of the namespaces, below k8s.
var folders = map[string]string{
	topology.NamespaceSales:     "domains/sales",
	topology.NamespaceMarketing: "domains/marketing",
	topology.NamespacePlatform:  "platform",
}

func main() {
	root := flag.String("root", "k8s", "folder of network-matrix.yaml")
	verify := flag.Bool("verify", false, "write nothing; exit with 1 when a file differs")
	flag.Parse()
	if err := run(*root, *verify); err != nil {
		fmt.Fprintln(os.Stderr, "network-policies:", err)
		os.Exit(1)
	}
}

func run(root string, verify bool) error {
	text, err := os.ReadFile(filepath.Join(root, "network-matrix.yaml"))
	if err != nil {
		return err
	}
	m, err := matrix.Parse(text)
	if err != nil {
		return err
	}
	for namespace := range m.Workloads {
		if !slices.Contains(topology.Namespaces, namespace) {
			return fmt.Errorf("network-matrix.yaml: %s is no namespace of the mesh", namespace)
		}
	}
	var differ []error
	for namespace, folder := range folders {
		file := filepath.Join(root, folder, "network-policies.yaml")
		want := m.Policies(namespace)
		if !verify {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				return err
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want) {
			differ = append(differ, fmt.Errorf("%s is not what network-matrix.yaml says; run: make policies", file))
		}
	}
	return errors.Join(differ...)
}
