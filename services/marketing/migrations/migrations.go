// Package migrations holds the schema of the marketing database.
package migrations

import "embed"

// Files are golang-migrate's pairs of NUMBER_verb_object.up.sql and .down.sql.
//
//go:embed *.sql
var Files embed.FS
