package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeHost is an operating system in memory, with root at the keyboard.
type fakeHost struct {
	users    map[string]*user.User
	groups   map[string]bool
	programs []string
	commands []string
	fail     map[string]error // by program
	keep     bool             // userdel leaves the group, as login.defs may say
	nextUID  int
}

func newFakeHost(programs ...string) *fakeHost {
	return &fakeHost{
		users:    map[string]*user.User{"root": {Username: "root", Uid: "0", Gid: "0"}, "toor": {Username: "toor", Uid: "0", Gid: "0"}},
		groups:   map[string]bool{},
		programs: programs,
		fail:     map[string]error{},
		nextUID:  990,
	}
}

func (f *fakeHost) host() host {
	return host{
		lookup: func(name string) (*user.User, error) {
			if u, ok := f.users[name]; ok {
				return u, nil
			}
			return nil, user.UnknownUserError(name)
		},
		lookupID: func(string) (*user.User, error) { return nil, errors.New("not asked as root") },
		executable: func(name string) (string, error) {
			if slices.Contains(f.programs, name) {
				return "/sbin/" + name, nil
			}
			return "", exec.ErrNotFound
		},
		groupExists: func(name string) bool { return f.groups[name] },
		run: func(_ context.Context, path string, args ...string) error {
			f.commands = append(f.commands, path+" "+strings.Join(args, " "))
			program, name := filepath.Base(path), args[len(args)-1]
			if err := f.fail[program]; err != nil {
				return err
			}
			switch program {
			case "useradd", "adduser":
				f.users[name] = &user.User{Username: name, Uid: fmt.Sprint(f.nextUID), Gid: fmt.Sprint(f.nextUID - 10)}
				f.groups[name] = true
				f.nextUID--
			case "addgroup":
				f.groups[name] = true
			case "userdel", "deluser":
				delete(f.users, name)
				f.groups[name] = f.keep
			case "groupdel", "delgroup":
				delete(f.groups, name)
			}
			return nil
		},
	}
}

func TestMadeUsedAndRemoved(t *testing.T) {
	t.Setenv("MEESH_USER", "")
	for name, c := range map[string]struct {
		programs []string
		keep     bool
		commands []string
	}{
		"useradd": {[]string{"useradd", "userdel", "groupdel", "adduser", "addgroup"}, false, []string{
			"/sbin/useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment DataMeesh servers meesh",
			"/sbin/userdel meesh",
		}},
		"userdel leaves the group": {[]string{"useradd", "userdel", "groupdel"}, true, []string{
			"/sbin/useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment DataMeesh servers meesh",
			"/sbin/userdel meesh",
			"/sbin/groupdel meesh",
		}},
		"busybox": {[]string{"adduser", "addgroup", "deluser", "delgroup"}, false, []string{
			"/sbin/addgroup -S meesh",
			"/sbin/adduser -S -D -H -h /nonexistent -s /sbin/nologin -G meesh meesh",
			"/sbin/deluser meesh",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, state := newFakeHost(c.programs...), t.TempDir()
			f.keep = c.keep
			h := f.host()
			if a, err := h.look(state); !errors.Is(err, ErrAbsent) || a.Name != "meesh" {
				t.Errorf("before: %+v %v", a, err)
			}
			a, err := h.current(t.Context(), state)
			want := Account{Name: "meesh", UID: 990, GID: 980, Made: true, Root: true}
			if err != nil || a != want {
				t.Fatalf("got %+v %v, want %+v", a, err, want)
			}
			if cred := a.Credential(); cred == nil || cred.Uid != 990 || cred.Gid != 980 || len(cred.Groups) != 0 || cred.NoSetGroups {
				t.Errorf("credential %+v", cred)
			}
			if again, err := h.current(t.Context(), state); err != nil || again != want {
				t.Errorf("second time: %+v %v", again, err)
			}
			if removed, err := h.remove(t.Context(), state); err != nil || !removed {
				t.Errorf("removed %v %v", removed, err)
			}
			if removed, err := h.remove(t.Context(), state); err != nil || removed {
				t.Errorf("removed again %v %v", removed, err)
			}
			if !slices.Equal(f.commands, c.commands) {
				t.Errorf("commands\n%s\nwant\n%s", strings.Join(f.commands, "\n"), strings.Join(c.commands, "\n"))
			}
			if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
				t.Errorf("left in the state folder: %v %v", left, err)
			}
		})
	}
}

func TestAccountOfOthersIsNeverRemoved(t *testing.T) {
	t.Setenv("MEESH_USER", "")
	f, state := newFakeHost("useradd", "userdel"), t.TempDir()
	f.users["meesh"] = &user.User{Username: "meesh", Uid: "500", Gid: "500"}
	h := f.host()
	a, err := h.current(t.Context(), state)
	if err != nil || a.Made || a.UID != 500 {
		t.Fatalf("%+v %v", a, err)
	}
	if removed, err := h.remove(t.Context(), state); removed || err != nil {
		t.Errorf("removed %v %v", removed, err)
	}

	// Ours was removed by hand, and somebody made another of the same name.
	if err := writeMarker(state, marker{"meesh", 990}); err != nil {
		t.Fatal(err)
	}
	if a, err := h.current(t.Context(), state); err != nil || a.Made {
		t.Errorf("%+v %v", a, err)
	}
	if removed, err := h.remove(t.Context(), state); removed || err != nil {
		t.Errorf("removed %v %v", removed, err)
	}
	if len(f.commands) > 0 {
		t.Errorf("commands: %v", f.commands)
	}
}

func TestAnotherProcessMadeItMeanwhile(t *testing.T) {
	t.Setenv("MEESH_USER", "")
	f, state := newFakeHost("useradd", "userdel"), t.TempDir()
	h := f.host()
	h.run = func(context.Context, string, ...string) error {
		f.users["meesh"] = &user.User{Username: "meesh", Uid: "990", Gid: "990"}
		return errors.New("useradd: user 'meesh' already exists")
	}
	if a, err := h.current(t.Context(), state); err != nil || a.UID != 990 || a.Made {
		t.Errorf("%+v %v", a, err)
	}
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		variable string
		programs []string
		prepare  func(t *testing.T, f *fakeHost, state string)
		want     []string
	}{
		"no program makes accounts": {programs: nil, want: []string{"neither useradd nor adduser", "apt-get install passwd", "MEESH_USER"}},
		"useradd fails": {programs: []string{"useradd"}, want: []string{"cannot make the account meesh", "cannot lock /etc/passwd", "MEESH_USER"},
			prepare: func(_ *testing.T, f *fakeHost, _ string) { f.fail["useradd"] = errors.New("cannot lock /etc/passwd") }},
		"root's own account":    {variable: "root", want: []string{"the account root is root's", "unprivileged"}},
		"an account with uid 0": {variable: "toor", want: []string{"the account toor is root's"}},
		"a name that is none":   {variable: "-x y", want: []string{`MEESH_USER="-x y"`, "letters"}},
		"no state folder": {programs: []string{"useradd"}, want: []string{"state folder"},
			prepare: func(t *testing.T, _ *fakeHost, state string) {
				if err := os.Remove(state); err != nil {
					t.Fatal(err)
				}
			}},
		"a note that cannot be read": {variable: "toor2", want: []string{"account.json"},
			prepare: func(t *testing.T, f *fakeHost, state string) {
				f.users["toor2"] = &user.User{Username: "toor2", Uid: "5", Gid: "5"}
				if err := os.WriteFile(filepath.Join(state, markerName), []byte("{"), 0o644); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MEESH_USER", c.variable)
			f, state := newFakeHost(c.programs...), t.TempDir()
			if c.prepare != nil {
				c.prepare(t, f, state)
			}
			_, err := f.host().current(t.Context(), state)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error: %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

// TestNoNoteNoAccount: an account that nobody knows to be ours would stay for ever.
func TestNoNoteNoAccount(t *testing.T) {
	t.Setenv("MEESH_USER", "")
	f, state := newFakeHost("useradd", "userdel"), t.TempDir()
	// A folder in the note's place makes the writing fail, also for root.
	if err := os.MkdirAll(filepath.Join(state, markerName+".new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.host().current(t.Context(), state); err == nil {
		t.Error("no error")
	}
	if f.users["meesh"] != nil {
		t.Error("the account stays")
	}
}

func TestAccountInUse(t *testing.T) {
	t.Setenv("MEESH_USER", "")
	f, state := newFakeHost("useradd", "userdel"), t.TempDir()
	h := f.host()
	if _, err := h.current(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	f.fail["userdel"] = errors.New("user meesh is currently used by process 12")
	removed, err := h.remove(t.Context(), state)
	if removed || err == nil || !strings.Contains(err.Error(), "process 12") || !strings.Contains(err.Error(), "another mesh") {
		t.Errorf("%v %v", removed, err)
	}
	delete(f.fail, "userdel") // the note is still there
	if removed, err := h.remove(t.Context(), state); !removed || err != nil {
		t.Errorf("%v %v", removed, err)
	}
}

func TestOrdinaryUser(t *testing.T) {
	f := newFakeHost()
	h := f.host()
	h.euid = 1234
	h.lookupID = func(uid string) (*user.User, error) {
		return &user.User{Username: "ann", Uid: uid, Gid: "100"}, nil
	}
	a, err := h.current(t.Context(), t.TempDir())
	if want := (Account{Name: "ann", UID: 1234, GID: 100}); err != nil || a != want {
		t.Errorf("%+v %v, want %+v", a, err, want)
	}
	if a.Credential() != nil {
		t.Error("an ordinary user has no other credential to take")
	}
	h.lookupID = func(string) (*user.User, error) { return nil, user.UnknownUserIdError(1234) }
	if _, err := h.current(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "user id 1234 has no account") {
		t.Errorf("without an account: %v", err)
	}
}

// TestReach tries a closed folder for real: as root under nobody's id, else as
// oneself.
func TestReach(t *testing.T) {
	top, err := os.MkdirTemp("/tmp", "reach") // where every account can go
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	closed := filepath.Join(top, "closed")
	if err := os.MkdirAll(filepath.Join(closed, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	a := Account{Name: "nobody", UID: 65534, GID: 65534, Root: os.Geteuid() == 0}
	for _, dir := range []string{closed, filepath.Join(closed, "inner"), filepath.Join(top, "absent", "deeper"), "/"} {
		if err := a.Reach(t.Context(), dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
	err = a.Reach(t.Context(), filepath.Join(closed, "inner"))
	if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), closed) {
		t.Errorf("closed folder: %v", err)
	}
}
