package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// manifestName is the file that says that a tree is complete. It lies inside
// the tree, so the rename that publishes the tree publishes it too.
const manifestName = ".datameesh-complete"

// A manifest says of which download a tree was made and what must be in it.
type manifest struct {
	Package string           `json:"package"`
	SHA256  string           `json:"sha256"`
	Layout  int              `json:"layout"`
	Files   map[string]int64 `json:"files"` // path to size, regular files only
}

func writeManifest(tree string, pkg Package) error {
	m := manifest{pkg.String(), pkg.SHA256, pkg.layout, map[string]int64{}}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		m.Files[rel] = info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	if len(m.Files) == 0 {
		return errors.New("the archive holds no file")
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	name := filepath.Join(tree, manifestName)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644) // whatever the umask
}

// complete returns nil when dir holds all of pkg. It looks at every file's
// size, which takes a few milliseconds and finds what a crash or a clean-up
// program has cut off or taken away.
func complete(dir string, pkg Package) error {
	m, err := intact(dir)
	if err == nil && (m.SHA256 != pkg.SHA256 || m.Layout != pkg.layout) {
		err = fmt.Errorf("%s was made of another download", dir)
	}
	return err
}

// intact returns the manifest of a tree that holds all that it lists.
func intact(dir string) (m manifest, err error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestName, err)
	}
	if len(m.Files) == 0 {
		return m, fmt.Errorf("%s lists nothing", filepath.Join(dir, manifestName))
	}
	for name, size := range m.Files {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			return m, err
		}
		if info.Size() != size {
			return m, fmt.Errorf("%s: expected %d bytes, found %d", name, size, info.Size())
		}
	}
	return m, nil
}

// makeFolders makes each folder, its parents too, readable to all whatever the
// umask: as root the servers run under another account. Folders that exist
// keep their mode.
func makeFolders(dirs ...string) error {
	for _, dir := range dirs {
		var made []string
		for d := dir; ; d = filepath.Dir(d) {
			if _, err := os.Stat(d); err == nil {
				break
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			made = append(made, d)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, d := range made {
			if err := os.Chmod(d, 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock holds the file lock of one package until unlock is called. The kernel
// drops it when the process dies, so nobody waits for a dead one.
func lock(ctx context.Context, base string, t *tracker) (unlock func(), err error) {
	f, err := os.OpenFile(base+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	try := func() error {
		for {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if err != syscall.EINTR {
				return err
			}
		}
	}
	err = try()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := "another process"
		if data, readErr := os.ReadFile(f.Name()); readErr == nil && len(data) > 0 {
			holder = "process " + strings.TrimSpace(string(data))
		}
		t.step(Waiting, 0, holder+" is fetching it")
		// flock cannot be told to give up with the context, so it is asked again and again.
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for errors.Is(err, syscall.EWOULDBLOCK) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-ticker.C:
				err = try()
			}
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	if err := errors.Join(f.Truncate(0), func() error { _, err := fmt.Fprintln(f, os.Getpid()); return err }()); err != nil {
		return nil, err
	}
	return func() {
		// Closing drops the lock; there is nothing to lose in a lock file.
		_ = f.Close()
	}, nil
}
