// Package cells holds the connections that the mesh allows, written by hand.
package cells

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed allowed-cells.txt
var text string

// People are who comes from outside of the cluster.
const People = "outside"

// A Cell is a connection that is allowed: everything else is not.
type Cell struct {
	From, To string // workloads, or People
	Port     int    // of the pods of To, TCP
}

// Allowed reads allowed-cells.txt.
func Allowed() ([]Cell, error) {
	var all []Cell
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) < 3 {
			return nil, fmt.Errorf("allowed-cells.txt: %q is not: whose pods, a port, by whom", strings.TrimSpace(line))
		}
		port, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("allowed-cells.txt: %q: %w", strings.TrimSpace(line), err)
		}
		for _, from := range fields[2:] {
			all = append(all, Cell{from, fields[0], port})
		}
	}
	return all, nil
}
