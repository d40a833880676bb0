package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/state"
)

// meshLock is held by whatever changes the mesh, so that two do not meet.
func meshLock(d state.Dir) string { return filepath.Join(string(d), "up.lock") }

// lockMesh makes the state folder and locks the mesh; a second one waits.
func lockMesh(ctx context.Context, d state.Dir, what string, log io.Writer) (unlock func(), err error) {
	// Others may enter the folder itself: the servers' account must.
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	if err := checkOwner(d); err != nil {
		return nil, err
	}
	note := fmt.Sprintf("%s (process %d)", what, os.Getpid())
	unlock, err = control.Lock(ctx, meshLock(d), note, func(holder string) {
		// Empty when it has only just begun.
		say(log, "Another %s is at work on this mesh; waiting for it.", cmp.Or(holder, "command"))
	})
	if errors.Is(err, fs.ErrPermission) {
		return nil, &control.PermissionError{Dir: d}
	}
	return unlock, err
}

// checkOwner refuses the mesh of another user. Root too: it would give the
// mesh to its own servers' account, and the user could never use it again.
func checkOwner(d state.Dir) error {
	if !d.Exists() {
		return nil
	}
	owner, err := ownerOf(d.MeshFile())
	if err != nil {
		return fmt.Errorf("look at state folder: %w", err)
	}
	if owner != os.Geteuid() {
		return &control.PermissionError{Dir: d}
	}
	return nil
}

// ownerOf is the user id that a file belongs to.
func ownerOf(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no owner", path)
	}
	return int(stat.Uid), nil
}

// serverFolders belong to the servers' account; what is in them, only it may read.
func serverFolders(d state.Dir) []string {
	return []string{d.Secrets(), d.Run(), d.Logs(), filepath.Dir(d.Data("x")), d.TLS(), d.Trino(), d.DBT()}
}

// layOut makes the folders of the mesh and, as root, gives those of the servers
// to their account.
func layOut(d state.Dir, a account.Account) error {
	if err := os.MkdirAll(d.Bin(), 0o755); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	for _, dir := range serverFolders(d) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make state folder: %w", err)
		}
		owner, err := ownerOf(dir)
		if err != nil {
			return fmt.Errorf("make state folder: %w", err)
		}
		if owner == int(a.UID) {
			continue
		}
		if !a.Root {
			return &control.PermissionError{Dir: d}
		}
		// New, or the account was removed and made again with another number.
		if err := giveAway(dir, a); err != nil {
			return fmt.Errorf("give %s to %s: %w", dir, a.Name, err)
		}
	}
	return layOutHomes(d, a)
}

// layOutHomes makes the folder of the people's homes. What is in it belongs to
// them, so only the folder itself is given to the servers' account, which others
// may pass and not look into.
func layOutHomes(d state.Dir, a account.Account) error {
	if err := os.Mkdir(d.Homes(), 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make state folder: %w", err)
	}
	owner, err := ownerOf(d.Homes())
	switch {
	case err != nil:
		return fmt.Errorf("make state folder: %w", err)
	case owner != int(a.UID) && !a.Root:
		return &control.PermissionError{Dir: d}
	case owner != int(a.UID):
		if err := os.Lchown(d.Homes(), int(a.UID), int(a.GID)); err != nil {
			return fmt.Errorf("give %s to %s: %w", d.Homes(), a.Name, err)
		}
	}
	if err := os.Chmod(d.Homes(), 0o711); err != nil { // whatever the umask
		return fmt.Errorf("make state folder: %w", err)
	}
	return nil
}

// giveAway gives a folder and all in it to the account. Links are given away
// themselves, not followed.
func giveAway(dir string, a account.Account) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.UID), int(a.GID))
	})
}

// link leaves a link to a state folder that lies elsewhere beside the clone's
// bin folder, where people look for it.
func link(d state.Dir) error {
	if os.Getenv(state.HomeVariable) != "" {
		return nil
	}
	at, err := linkPath()
	if err != nil || at == string(d) {
		return err
	}
	if target, err := os.Readlink(at); err == nil && target == string(d) {
		return nil
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link to the state folder: %w", err)
	}
	if err := os.Symlink(string(d), at); err != nil {
		return fmt.Errorf("link to the state folder: %w", err)
	}
	return nil
}

// linkPath is where the clone's own state folder, or the link to it, lies.
func linkPath() (string, error) {
	bin, err := programFolder()
	if err != nil {
		return "", err
	}
	return state.Link(filepath.Dir(bin)), nil
}

// programFolder holds this program and those beside it.
func programFolder() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the programs: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", fmt.Errorf("find the programs: %w", err)
	}
	return filepath.Dir(exe), nil
}

// removeState removes everything that a mesh made in its state folder, and the
// folder when nothing else is in it: MEESH_HOME may name a folder that holds
// other things too.
func removeState(ctx context.Context, d state.Dir, log io.Writer) error {
	// First, because the note about the account lies in the folder.
	a, lookErr := account.Look(string(d))
	removed, err := account.Remove(ctx, string(d))
	switch {
	case err != nil:
		// Another mesh may need it; the data goes all the same.
		say(log, "%v", err)
	case removed && lookErr == nil:
		say(log, "Removed the account %s, which this mesh had made.", a.Name)
	}
	remove := append(serverFolders(d), d.Bin(), d.Project(), d.Dashboards(), d.JupyterHub(), d.Homes(), d.MeshFile())
	leftovers, err := filepath.Glob(filepath.Join(string(d), ".mesh.json-*"))
	if err != nil {
		return err
	}
	for _, path := range append(append(remove, leftovers...), filepath.Join(string(d), "account.json"), meshLock(d)) {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	if os.Geteuid() == 0 {
		if err := releaseUIDs(uidFolder, d); err != nil {
			return err
		}
	}
	if err := removeFolders(d); err != nil {
		return err
	}
	if os.Getenv(state.HomeVariable) != "" {
		return nil
	}
	at, err := linkPath()
	if err != nil {
		return err
	}
	if target, err := os.Readlink(at); err == nil && target == string(d) {
		if err := os.Remove(at); err != nil {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	return nil
}

// forgetEmpty removes a state folder in which nothing has begun.
func forgetEmpty(d state.Dir) error {
	entries, err := os.ReadDir(string(d))
	if err != nil || len(entries) != 1 || d.Exists() {
		return err
	}
	if err := os.Remove(meshLock(d)); err != nil {
		return err
	}
	return removeFolders(d)
}

// removeFolders removes the state folder, and the one that holds those of
// root's meshes, unless something is in them.
func removeFolders(d state.Dir) error {
	if err := removeEmpty(string(d)); err != nil {
		return err
	}
	// Root's folder also notes the user ids of meshes that lie elsewhere.
	if strings.HasPrefix(string(d), state.RootParent+"/") || os.Geteuid() == 0 {
		return removeEmpty(state.RootParent)
	}
	return nil
}

// removeEmpty removes a folder unless something is in it.
func removeEmpty(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EBUSY) {
		return nil
	}
	return err
}
