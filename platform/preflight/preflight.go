// Package preflight checks the machine before the mesh is started on it.
package preflight

import "context"

// A Port is one TCP port on 127.0.0.1 that the mesh will listen on.
type Port struct {
	Number int
	Wants  string // component that wants it
	Ours   bool   // held by our own running mesh
}

// Input says what to check.
type Input struct {
	Ports    []Port
	StateDir string
	CacheDir string
	Build    bool // go and gcc are needed too
}

// A Check is one finding.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning,omitempty"` // a shortfall that does not stop the mesh
	Found   string `json:"found"`
	Fix     string `json:"fix,omitempty"`
}

// Run performs all checks, also after one has failed.
func Run(ctx context.Context, in Input) []Check { return nil }
