// Command mesh-spawn runs a person's notebook server under a user id of its own.
// It is the one program of the mesh with rights that the servers' account lacks
// (file capabilities: change to a user id, end its processes, give it its home
// folder), so it does nothing else, and only for the ids that the mesh gives to
// people.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/jupyterhub"
	"github.com/datameesh/datameesh/platform/topology"
)

const usage = `usage:
  mesh-spawn run UID HOME BYTES PROGRAM [ARGUMENT]...   runs PROGRAM as UID in HOME, which becomes theirs; no process of it takes more than BYTES
  mesh-spawn signal UID PID SIGNAL                      sends a signal to a process of UID
  mesh-spawn end UID                                    ends all processes of UID, politely first
  mesh-spawn check                                      tells whether it could

Exit codes: 0 done, 1 not possible, 2 wrong usage; "run" ends as PROGRAM does.
`

func main() {
	err := run(os.Args[1:])
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mesh-spawn: "+err.Error())
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(args []string) error {
	switch {
	case len(args) >= 5 && args[0] == "run":
		uid, err := person(args[1])
		if err != nil {
			return err
		}
		limit, err := strconv.ParseUint(args[3], 10, 63)
		if err != nil {
			return errUsage
		}
		return start(uid, args[2], limit, args[4:])
	case len(args) == 4 && args[0] == "signal":
		uid, err := person(args[1])
		if err != nil {
			return err
		}
		pid, pidErr := strconv.Atoi(args[2])
		number, signalErr := strconv.Atoi(args[3])
		if pidErr != nil || signalErr != nil || pid < 2 {
			return errUsage
		}
		return signal(uid, pid, syscall.Signal(number))
	case len(args) == 2 && args[0] == "end":
		uid, err := person(args[1])
		if err != nil {
			return err
		}
		return end(uid)
	case len(args) == 1 && args[0] == "check":
		return check()
	}
	return errUsage
}

// person reads a user id, which must be one that the mesh gives to people: never
// root's, nor that of an account of the machine.
func person(text string) (int, error) {
	uid, err := strconv.Atoi(text)
	if err != nil {
		return 0, errUsage
	}
	if uid < topology.FirstPersonUID || uid > topology.LastPersonUID {
		return 0, fmt.Errorf("user id %d is not one of %d to %d, which are the people's", uid, topology.FirstPersonUID, topology.LastPersonUID)
	}
	if account, err := user.LookupId(text); err == nil {
		return 0, fmt.Errorf("user id %d is that of the account %s of this machine; nobody of the mesh may have it", uid, account.Username)
	}
	return uid, nil
}

// start becomes the program.
func start(uid int, home string, limit uint64, program []string) error {
	if err := giveHome(uid, home); err != nil {
		return err
	}
	// The user id comes last.
	if err := syscall.Setgroups([]int{}); err != nil {
		return capable("give up all groups", err)
	}
	if err := syscall.Setgid(uid); err != nil {
		return capable(fmt.Sprintf("change to group id %d", uid), err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return capable(fmt.Sprintf("change to user id %d", uid), err)
	}
	for resource, most := range map[int]uint64{unix.RLIMIT_DATA: limit, unix.RLIMIT_NPROC: 1024, unix.RLIMIT_CORE: 0} {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("read limits: %w", err)
		}
		most = min(most, now.Max) // nobody may raise it
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set limits: %w", err)
		}
	}
	syscall.Umask(0o077)
	if err := os.Chdir(home); err != nil {
		return err
	}
	// Of this thread, and of what it becomes: no program with rights of its own,
	// as sudo, gives any to a notebook.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(program[0], program, os.Environ())
}

// giveHome gives a folder of the caller's to the person, who has it already at
// the second time. Through a descriptor: a link does not lead elsewhere.
func giveHome(uid int, home string) error {
	if !filepath.IsAbs(home) {
		return errUsage
	}
	fd, err := unix.Open(home, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) { // it is theirs, closed to the caller
		var stat unix.Stat_t
		if err := unix.Lstat(home, &stat); err != nil {
			return &os.PathError{Op: "stat", Path: home, Err: err}
		}
		if int(stat.Uid) == uid && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: home, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: home, Err: err}
	}
	switch int(stat.Uid) {
	case uid:
		return nil
	case os.Getuid():
	default:
		return fmt.Errorf("%s belongs to user id %d, who is neither the caller nor the person", home, stat.Uid)
	}
	if err := unix.Fchmod(fd, 0o700); err != nil {
		return &os.PathError{Op: "chmod", Path: home, Err: err}
	}
	if err := unix.Fchown(fd, uid, uid); err != nil {
		return capable("give "+home+" away", err)
	}
	return nil
}

// signal sends a signal to a process of that user id and of no other: the
// descriptor stands for the same process from the look at its owner on.
func signal(uid, pid int, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	of, err := jupyterhub.UserOf(pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	if of != uid {
		return fmt.Errorf("process %d is not one of user id %d", pid, uid)
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return capable(fmt.Sprintf("end process %d", pid), err)
	}
	return nil
}

// grace is what the processes of a person get to end by themselves.
const grace = 2 * time.Second

// end ends all processes of a user id.
func end(uid int) error {
	_, err := jupyterhub.EndUsers(context.Background(), uid, uid, grace, func(pid int, sig syscall.Signal) error {
		err := signal(uid, pid, sig)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
			return nil // it has ended
		}
		return err
	})
	return err
}

// check looks at what this process may do.
func check() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	for name, number := range map[string]uint{"chown": unix.CAP_CHOWN, "kill": unix.CAP_KILL, "setgid": unix.CAP_SETGID, "setuid": unix.CAP_SETUID} {
		if data[0].Effective&(1<<number) == 0 {
			return capable("use the capability "+name, unix.EPERM)
		}
	}
	return nil
}

// capable explains a right that is missing.
func capable(what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("cannot %s: %w; \"meesh up\" as root gives this program its file capabilities, and they count on a file system that is not mounted nosuid", what, err)
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}
