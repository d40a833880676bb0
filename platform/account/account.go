// Package account decides which operating system account the servers run as.
package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// DefaultName is the account's name unless MEESH_USER gives another.
const DefaultName = "meesh"

// markerName is the file in the state folder that says which account we made.
const markerName = "account.json"

// An Account is who the servers run as.
type Account struct {
	Name     string
	UID, GID uint32
	Made     bool // by us, so that Remove may remove it
	Root     bool // we run as root, and servers must be started with Credential
}

// Credential is what to put into syscall.SysProcAttr.Credential; nil when not
// root. The account gets its own group and no other.
func (a Account) Credential() *syscall.Credential {
	if !a.Root {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: []uint32{}}
}

// An Error says what is wrong with the account and what to do about it.
type Error struct {
	Problem string
	Fix     string
	Err     error // may be nil
}

func (e *Error) Error() string {
	s := e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + ". " + e.Fix
}

func (e *Error) Unwrap() error { return e.Err }

// ErrAbsent is what Look returns when the account has yet to be made.
var ErrAbsent = errors.New("the account does not exist yet")

// marker is the content of markerName. The uid is there so that an account that
// somebody else made later under the same name is left alone.
type marker struct {
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
}

// Current returns the account of the servers: the user itself, or as root an
// unprivileged system account. As root it makes the account when it is absent
// and notes that in stateDir, which must exist. Errors are of type *Error.
func Current(ctx context.Context, stateDir string) (Account, error) {
	return system().current(ctx, stateDir)
}

// Look returns the account like Current, but changes nothing: ErrAbsent means
// that Current will make it, an *Error that Current will fail.
func Look(stateDir string) (Account, error) { return system().look(stateDir) }

// Remove removes the account if stateDir says that we made it; removed tells
// whether there was something to remove. It fails while a process still runs
// under the account, as one of another mesh may.
func Remove(ctx context.Context, stateDir string) (removed bool, err error) {
	return system().remove(ctx, stateDir)
}

// host is the operating system as this package sees it; tests bring their own.
type host struct {
	euid        int
	lookup      func(name string) (*user.User, error)
	lookupID    func(uid string) (*user.User, error)
	groupExists func(name string) bool
	executable  func(name string) (string, error)
	run         func(ctx context.Context, path string, args ...string) error
}

func system() host {
	return host{
		euid:        os.Geteuid(),
		lookup:      user.Lookup,
		lookupID:    user.LookupId,
		groupExists: func(name string) bool { _, err := user.LookupGroup(name); return err == nil },
		executable:  findAdmin,
		run: func(ctx context.Context, path string, args ...string) error {
			out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, bytes.TrimSpace(out))
			}
			return nil
		},
	}
}

// findAdmin looks for an administrator's program also where root's PATH may not
// lead: after a plain su, /usr/sbin is often missing from it.
func findAdmin(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func (h host) look(stateDir string) (Account, error) {
	if h.euid != 0 {
		u, err := h.lookupID(strconv.Itoa(h.euid))
		if err != nil {
			return Account{}, &Error{fmt.Sprintf("user id %d has no account, and PostgreSQL needs one", h.euid),
				"Run as a user that `id -un` can name.", err}
		}
		return newAccount(u, false, false)
	}
	name, err := rootName()
	if err != nil {
		return Account{}, err
	}
	u, err := h.lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		if _, _, err := h.maker(name); err != nil {
			return Account{}, err
		}
		return Account{Name: name, Root: true}, ErrAbsent
	}
	if err != nil {
		return Account{}, &Error{"cannot look up the account " + name, "See whether `id " + name + "` works.", err}
	}
	m, err := readMarker(stateDir)
	if err != nil {
		return Account{}, err
	}
	a, err := newAccount(u, true, false)
	if err != nil {
		return Account{}, err
	}
	if a.UID == 0 {
		return Account{}, &Error{"the account " + name + " is root's, and PostgreSQL refuses to run as root",
			"Set MEESH_USER to an unprivileged account, or unset it.", nil}
	}
	a.Made = m == marker{a.Name, a.UID}
	return a, nil
}

// rootName is the name of the servers' account when we run as root.
func rootName() (string, error) {
	name := os.Getenv("MEESH_USER")
	if name == "" {
		return DefaultName, nil
	}
	if !regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`).MatchString(name) {
		return "", &Error{fmt.Sprintf("MEESH_USER=%q is no account name", name),
			"Use at most 32 lower-case letters, digits, _ and -, beginning with a letter.", nil}
	}
	return name, nil
}

func newAccount(u *user.User, root, made bool) (Account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("account %s: uid: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return Account{}, fmt.Errorf("account %s: gid: %w", u.Username, err)
	}
	return Account{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Made: made, Root: root}, nil
}

// maker finds the program that makes accounts and the commands for it.
func (h host) maker(name string) (path string, commands [][]string, err error) {
	if path, err := h.executable("useradd"); err == nil {
		return path, [][]string{{path, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
			"--shell", "/usr/sbin/nologin", "--comment", "DataMeesh servers", name}}, nil
	}
	// Where useradd is missing, adduser is busybox's.
	path, err = h.executable("adduser")
	group, groupErr := h.executable("addgroup")
	if err != nil || groupErr != nil {
		return "", nil, &Error{"started by root, the servers need the unprivileged account " + name +
			", and neither useradd nor adduser is there to make it",
			"Make the account, install useradd (Debian: apt-get install passwd), set MEESH_USER to an account that exists, or run as an ordinary user.", nil}
	}
	return path, [][]string{
		{group, "-S", name},
		{path, "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", "-G", name, name},
	}, nil
}

func (h host) current(ctx context.Context, stateDir string) (Account, error) {
	a, err := h.look(stateDir)
	if !errors.Is(err, ErrAbsent) {
		return a, err
	}
	if info, err := os.Stat(stateDir); err != nil || !info.IsDir() {
		return Account{}, &Error{"the state folder " + stateDir + ", which is to note that the account was made, is not there",
			"Make the folder, then run again.", err}
	}
	_, commands, err := h.maker(a.Name)
	if err != nil {
		return Account{}, err
	}
	for _, c := range commands {
		if err := h.run(ctx, c[0], c[1:]...); err != nil {
			// Another process may have made it between our look and now.
			if found, lookErr := h.look(stateDir); lookErr == nil {
				return found, nil
			}
			return Account{}, &Error{"cannot make the account " + a.Name,
				"Make it yourself, or set MEESH_USER to an account that exists, or run as an ordinary user.", err}
		}
	}
	u, err := h.lookup(a.Name)
	if err != nil {
		return Account{}, &Error{"the account " + a.Name + " was made, but cannot be looked up", "See whether `id " + a.Name + "` works.", err}
	}
	if a, err = newAccount(u, true, true); err != nil {
		return Account{}, err
	}
	if err := writeMarker(stateDir, marker{a.Name, a.UID}); err != nil {
		// Without the note nobody would ever remove the account.
		return Account{}, errors.Join(
			&Error{"cannot note in the state folder that the account " + a.Name + " was made, so it is removed again", "Mend the cause, then run again.", err},
			h.unmake(ctx, a.Name))
	}
	return a, nil
}

func (h host) remove(ctx context.Context, stateDir string) (bool, error) {
	if h.euid != 0 {
		return false, nil
	}
	m, err := readMarker(stateDir)
	if err != nil || m == (marker{}) {
		return false, err
	}
	u, err := h.lookup(m.Name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return false, dropMarker(stateDir) // somebody else removed it
	}
	if err != nil {
		return false, &Error{"cannot look up the account " + m.Name, "See whether `id " + m.Name + "` works.", err}
	}
	if u.Uid != strconv.FormatUint(uint64(m.UID), 10) {
		return false, dropMarker(stateDir) // it is not the one we made
	}
	if err := h.unmake(ctx, m.Name); err != nil {
		return false, &Error{"cannot remove the account " + m.Name + ", which this mesh made",
			"If another mesh runs under it, stop that one; then remove the account with `userdel " + m.Name + "`.", err}
	}
	return true, dropMarker(stateDir)
}

// unmake removes the account, and its group where the program leaves it.
func (h host) unmake(ctx context.Context, name string) error {
	userdel, err := h.executable("userdel")
	if err != nil {
		if userdel, err = h.executable("deluser"); err != nil {
			return errors.New("neither userdel nor deluser is there")
		}
	}
	if err := h.run(ctx, userdel, name); err != nil {
		return err
	}
	// userdel takes the group along only where login.defs says so.
	if !h.groupExists(name) {
		return nil
	}
	groupdel, err := h.executable("groupdel")
	if err != nil {
		if groupdel, err = h.executable("delgroup"); err != nil {
			return fmt.Errorf("the group %s is left, and neither groupdel nor delgroup is there", name)
		}
	}
	return h.run(ctx, groupdel, name)
}

func readMarker(stateDir string) (marker, error) {
	path := filepath.Join(stateDir, markerName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return marker{}, nil
	}
	var m marker
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return marker{}, &Error{"cannot read which account this mesh made", "Mend or delete " + path + "; if deleted, the account stays.", err}
	}
	return m, nil
}

func writeMarker(stateDir string, m marker) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(stateDir, markerName)
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func dropMarker(stateDir string) error {
	err := os.Remove(filepath.Join(stateDir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Reach returns nil when the account can enter dir, or the folder nearest above
// it that exists. It really tries, under the account, so that access lists and
// mounts count. The error names the folder that is closed.
func (a Account) Reach(ctx context.Context, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var chain []string // from / down
	for d := abs; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			chain = append([]string{d}, chain...)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return &Error{"cannot look at " + d, "Choose another folder.", err}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if a.enter(ctx, chain[len(chain)-1]) == nil {
		return nil
	}
	for _, d := range chain {
		if err := a.enter(ctx, d); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &Error{fmt.Sprintf("the account %s cannot enter %s, on the way to %s", a.Name, d, abs),
				"Let it (chmod o+x " + d + "), or choose another folder.", err}
		}
	}
	return nil
}

func (a Account) enter(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `cd -- "$1"`, "sh", dir)
	cmd.Dir = "/" // the account may not be able to enter where we stand
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.Credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		if text := bytes.TrimSpace(out); len(text) > 0 {
			return errors.New(string(text))
		}
		return err
	}
	return nil
}
