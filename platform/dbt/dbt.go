// Package dbt runs the mesh's dbt project and publishes the marts that it builds.
package dbt

import (
	_ "embed"
	"regexp"
)

// Lock is the list of everything that dbt runs on, with hashes.
//
//go:embed requirements.lock
var Lock string

// Version is that of dbt-core.
var Version = regexp.MustCompile(`(?m)^dbt-core==(\S+)`).FindStringSubmatch(Lock)[1]

// profiles says how dbt reaches Trino, from variables.
//
//go:embed profiles.yml
var profiles []byte
