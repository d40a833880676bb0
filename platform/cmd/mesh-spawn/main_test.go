package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/topology"
)

// nobody calls the program under root, as the servers' account would.
const nobody = 65534

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		want string // in the error
	}{
		"nothing":                 {"", "usage"},
		"no program":              {"run 61001 /tmp 100", "usage"},
		"root":                    {"run 0 /tmp 100 /bin/true", "is not one of 61001 to 61999"},
		"an account":              {"run 1000 /tmp 100 /bin/true", "is not one of"},
		"past the end":            {"run 62000 /tmp 100 /bin/true", "is not one of"},
		"no number":               {"run alex /tmp 100 /bin/true", "usage"},
		"no limit":                {"run 61001 /tmp much /bin/true", "usage"},
		"a relative home":         {"run 61001 tmp 100 /bin/true", "usage"},
		"a home that is not":      {"run 61001 /nonexistent/x 100 /bin/true", "no such file"},
		"signal to root":          {"signal 0 1 9", "is not one of"},
		"signal to all":           {"signal 61001 -1 9", "usage"},
		"signal to init":          {"signal 61001 1 9", "usage"},
		"signal to somebody":      {"signal 61001 " + strconv.Itoa(os.Getpid()) + " 9", "is not one of user id 61001"},
		"signal to no process":    {"signal 61001 999999999 9", "process 999999999"},
		"end of root's":           {"end 0", "is not one of"},
		"end of nobody's":         {"end", "usage"},
		"signal without a number": {"signal 61001 22 KILL", "usage"},
	} {
		if err := run(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A folder that is neither the caller's nor the person's is nobody's home.
func TestHomeOfSomebodyElse(t *testing.T) {
	if os.Geteuid() == 0 {
		other := t.TempDir()
		if err := os.Chown(other, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		if err := giveHome(61001, other); err == nil || !strings.Contains(err.Error(), "neither the caller nor the person") {
			t.Errorf("given away: %v", err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := giveHome(61001, link); !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link is followed: %v", err)
	}
}

// build gives the program, armed under root, and how to call it as an account
// without rights.
func build(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, jupyterhub.SpawnProgram)
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root := os.Geteuid() == 0
	if root {
		if err := jupyterhub.Arm(program, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir = "/"
		if root {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
		}
		return cmd
	}
}

// Without its capabilities it says what is missing.
func TestUnarmed(t *testing.T) {
	if os.Geteuid() == 0 {
		if err := jupyterhub.Arm(filepath.Join(t.TempDir(), "absent"), nobody); err == nil {
			t.Error("an absent program was armed")
		}
		return // TestArmed
	}
	out, err := build(t)("check").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("as root gives this program its file capabilities")) {
		t.Errorf("%v %s", err, out)
	}
}

// Started by an account without rights, it runs programs as a person.
func TestArmed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("an ordinary user can give no capabilities: TestUnarmed")
		return
	}
	spawn := build(t)
	if out, err := spawn("check").CombinedOutput(); err != nil {
		t.Fatalf("check: %v %s", err, out)
	}
	home := homeOf(t)
	const script = `id -u; id -g; id -G; pwd; umask; ulimit -d; grep -E "CapEff|CapPrm|CapAmb|NoNewPrivs" /proc/self/status | tr -d "\t" | tr "\n" " "; echo; echo "$KEPT"; touch mine`
	for range 2 { // the first time the home is given away, then it is alex's
		cmd := spawn("run", "61001", home, "1073741824", "/bin/sh", "-c", script)
		cmd.Env = []string{"KEPT=yes", "PATH=/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		want := "61001\n61001\n61001\n" + home + "\n0077\n1048576\nCapPrm:0000000000000000 CapEff:0000000000000000 CapAmb:0000000000000000 NoNewPrivs:1 \nyes\n"
		if err != nil || string(out) != want {
			t.Fatalf("%v\n%s\nwant\n%s", err, out, want)
		}
	}
	info, err := os.Stat(home)
	if err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != 61001 {
		t.Errorf("home: %v %v", info, err)
	}
	if out, err := spawn("run", "61002", home, "1073741824", "/bin/true").CombinedOutput(); err == nil {
		t.Errorf("mike got alex's home: %s", out)
	}

	sleeper := spawn("run", "61001", home, "1073741824", "/bin/sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleeper.Wait() }()
	if out, err := spawn("signal", "61002", strconv.Itoa(sleeper.Process.Pid), "9").CombinedOutput(); err == nil {
		t.Errorf("ended as mike's: %s", out)
	}
	deadline := time.Now().Add(20 * time.Second)
	for { // it is the program once it has become alex's
		out, err := spawn("signal", "61001", strconv.Itoa(sleeper.Process.Pid), "15").CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v %s", err, out)
		}
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the process ended by itself")
		}
	case <-time.After(20 * time.Second):
		t.Error("the process goes on")
		_ = sleeper.Process.Kill()
	}
}

// Of the limits the lower one counts: nobody may raise what the caller has.
func TestLowerLimitOfTheCaller(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("an ordinary user can give no capabilities: TestUnarmed")
		return
	}
	spawn := build(t)
	home := homeOf(t)
	cmd := spawn("run", "61001", home, "1073741824", "/bin/bash", "-c", "ulimit -d; ulimit -Hu")
	script := exec.Command("/bin/bash", append([]string{"-c", `ulimit -d 500000; ulimit -u 500; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)...)
	script.Dir, script.SysProcAttr = "/", cmd.SysProcAttr
	if out, err := script.CombinedOutput(); err != nil || string(out) != "500000\n500\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// All that a person has left running ends, also what left its session and
// environment behind and will not hear of it, and nothing of anybody else's.
func TestEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("an ordinary user can give no capabilities: TestUnarmed")
		return
	}
	spawn := build(t)
	// A user id that no mesh on this machine has given away.
	mine, other := strconv.Itoa(topology.LastPersonUID), strconv.Itoa(topology.LastPersonUID-1)
	start := func(uid, script string) *exec.Cmd {
		t.Helper()
		home := homeOf(t)
		cmd := spawn("run", uid, home, "1073741824", "/bin/sh", "-c", script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it runs
			t.Fatal(err)
		}
		return cmd
	}
	const deaf = `trap "" TERM HUP; env -i setsid sh -c 'trap "" TERM; echo; sleep 600 & sleep 600' & wait`
	person, neighbour := start(mine, deaf), start(other, "echo; exec sleep 600")
	if out, err := spawn("end", mine).CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if left, err := jupyterhub.OfUsers(topology.LastPersonUID, topology.LastPersonUID); err != nil || len(left) > 0 {
		t.Errorf("run on: %v %v", left, err)
	}
	if err := person.Wait(); err == nil {
		t.Error("the person's program ended by itself")
	}
	if left, err := jupyterhub.OfUsers(topology.LastPersonUID-1, topology.LastPersonUID-1); err != nil || len(left) != 1 {
		t.Errorf("the neighbour's: %v %v", left, err)
	}
	if out, err := spawn("end", other).CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
	if err := neighbour.Wait(); err == nil {
		t.Error("the neighbour's program ended by itself")
	}
	if out, err := spawn("end", mine).CombinedOutput(); err != nil {
		t.Errorf("nothing to end: %v %s", err, out)
	}
}

// homeOf is a folder that the hub would make for a person.
func homeOf(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(parent), 0o755), os.Chmod(parent, 0o711), os.Chown(parent, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(parent, "home")
	if err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	return home
}
