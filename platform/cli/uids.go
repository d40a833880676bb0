package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// uidFolder notes which mesh of root's has which user ids for its people: a link
// per mesh, named by the first of its ids, to the state folder.
const uidFolder = state.RootParent + "/uids"

// claimUIDs gives a mesh the user ids that it has, or else free ones: those that no
// other mesh has and under which nothing runs, which running lists.
func claimUIDs(dir string, d state.Dir, running func(first, last int) ([]int, error)) (first int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("choose user ids for the people: %w", err)
		}
	}()
	unlock, err := lockFolder(dir)
	if err != nil {
		return 0, err
	}
	defer unlock()
	free := 0
	for first := topology.FirstPersonUID; first+topology.PersonUIDs-1 <= topology.LastPersonUID; first += topology.PersonUIDs {
		note := filepath.Join(dir, strconv.Itoa(first))
		switch has, err := os.Readlink(note); {
		case err == nil && has == string(d):
			return first, nil
		case err == nil && isMesh(state.Dir(has)), free != 0:
			continue
		case err == nil: // of a mesh that was removed by hand
			if err := os.Remove(note); err != nil {
				return 0, err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
		left, err := running(first, first+topology.PersonUIDs-1)
		if err != nil {
			return 0, err
		}
		if len(left) == 0 {
			free = first
		}
	}
	if free == 0 {
		return 0, fmt.Errorf("all of %d to %d belong to other meshes, see %s; remove one with: meesh down --volumes", topology.FirstPersonUID, topology.LastPersonUID, dir)
	}
	return free, os.Symlink(string(d), filepath.Join(dir, strconv.Itoa(free)))
}

// isMesh tells whether there is a mesh in the folder, or one about to be.
func isMesh(d state.Dir) bool {
	_, err := os.Stat(meshLock(d))
	return err == nil || d.Exists()
}

// releaseUIDs gives back what claimUIDs gave.
func releaseUIDs(dir string, d state.Dir) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("give back the user ids of the people: %w", err)
		}
	}()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer unlock()
	notes, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, note := range notes {
		path := filepath.Join(dir, note.Name())
		if has, err := os.Readlink(path); err == nil && has == string(d) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return removeEmpty(dir)
}

// lockFolder makes a folder and locks it: who waited for one that was removed
// meanwhile makes it anew.
func lockFolder(dir string) (unlock func(), err error) {
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: dir, Err: err}, f.Close())
		}
		locked, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(dir); err == nil && os.SameFile(locked, there) {
			return func() { _ = f.Close() }, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}
