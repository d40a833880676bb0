package preflight

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errCaptured means that a port can be bound, but connections to it end
// elsewhere or nowhere.
var errCaptured = errors.New("connections to it do not reach the program that listens on it")

// echoPatience is long for loopback, where an answer takes microseconds, also
// on a busy machine.
const echoPatience = 3 * time.Second

// echo listens on the port of 127.0.0.1, connects to it and has a random token
// sent there and back. That the port can be bound alone says little: a packet
// filter may redirect or drop what is sent to it.
func echo(ctx context.Context, port int) error { return echoBy(ctx, port, (&net.Dialer{}).DialContext) }

func echoBy(ctx context.Context, port int, dial func(ctx context.Context, network, addr string) (net.Conn, error)) error {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", addr)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveEcho(ln)
	}()
	// Nothing of the test may remain when the mesh takes the port.
	defer func() { _ = ln.Close(); <-served }()

	ctx, cancel := context.WithTimeout(ctx, echoPatience)
	defer cancel()
	deadline, _ := ctx.Deadline()
	conn, err := dial(ctx, "tcp4", ln.Addr().String())
	if err != nil {
		return fmt.Errorf("%w: %w", errCaptured, err)
	}
	defer func() { _ = conn.Close() }()
	quick(conn)
	token := rand.Text()
	answer := make([]byte, len(token))
	err = errors.Join(conn.SetDeadline(deadline), func() error {
		if _, err := io.WriteString(conn, token); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, answer)
		return err
	}())
	if err != nil {
		return fmt.Errorf("%w: %w", errCaptured, err)
	}
	if string(answer) != reversed(token) {
		return fmt.Errorf("%w: something else answered", errCaptured)
	}
	return nil
}

// serveEcho sends tokens back reversed, so that a plain echo server behind a
// redirection is not taken for it. Strangers may connect; each gets its own turn.
func serveEcho(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			quick(conn)
			token := make([]byte, len(rand.Text()))
			if conn.SetDeadline(time.Now().Add(echoPatience)) != nil {
				return
			}
			if _, err := io.ReadFull(conn, token); err != nil {
				return
			}
			if _, err := io.WriteString(conn, reversed(string(token))); err != nil {
				return
			}
			// The client closes; whoever closes first keeps the port in TIME_WAIT.
			_, _ = io.Copy(io.Discard, conn)
		}()
	}
}

// quick leaves no TIME_WAIT behind on close.
func quick(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// holder tells who listens on the port, as far as /proc lets this user see.
func holder(port int) string { return holderIn("/proc", port) }

func holderIn(proc string, port int) string {
	inode, uid := socketOf(proc, port)
	if inode == "" {
		return "a program that /proc does not show"
	}
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err == nil {
		for _, link := range links {
			if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
				continue
			}
			dir := filepath.Dir(filepath.Dir(link))
			name, err := os.ReadFile(filepath.Join(dir, "comm"))
			if err != nil {
				name = []byte("a program")
			}
			return fmt.Sprintf("%s, process %s", strings.TrimSpace(string(name)), filepath.Base(dir))
		}
	}
	return "a program of user id " + uid
}

// socketOf finds the socket that is bound to the port, a listening one first.
func socketOf(proc string, port int) (inode, uid string) {
	const listening = "0A"
	for _, file := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(filepath.Join(proc, file))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
			field := strings.Fields(lines.Text())
			if len(field) < 10 || !strings.HasSuffix(field[1], fmt.Sprintf(":%04X", port)) || field[9] == "0" {
				continue
			}
			if inode == "" || field[3] == listening {
				inode, uid = field[9], field[7]
			}
		}
		_ = f.Close()
	}
	return inode, uid
}

// availableMemory is what the kernel thinks programs can still get, or what the
// container's limit leaves, whichever is less. Bytes.
func availableMemory() (int64, error) {
	available, err := memoryIn("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return available, nil //nolint:nilerr // no groups, no limits
	}
	for line := range strings.Lines(string(group)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			available = min(available, groupMemory("/sys/fs/cgroup", path))
		}
	}
	return available, nil
}

func memoryIn(file string) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: MemAvailable: %w", file, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no MemAvailable", file)
}

// groupMemory is what the limits of a control group and of those above it
// leave; cached files do not count as used, the kernel gives them up.
func groupMemory(root, path string) int64 {
	left := int64(1) << 62
	for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
		limit, limitErr := number(filepath.Join(root, dir, "memory.max")) // "max" is no number: no limit
		used, usedErr := number(filepath.Join(root, dir, "memory.current"))
		if limitErr == nil && usedErr == nil {
			if data, err := os.ReadFile(filepath.Join(root, dir, "memory.stat")); err == nil {
				for line := range strings.Lines(string(data)) {
					if rest, ok := strings.CutPrefix(line, "inactive_file "); ok {
						if cached, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
							used -= cached
						}
					}
				}
			}
			left = min(left, max(limit-used, 0))
		}
		if dir == "/" {
			return left
		}
	}
}

func number(file string) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}

// disk is the file system that a folder lies on.
type disk struct {
	device           uint64
	free             int64 // bytes an unprivileged user may still write
	readOnly, noExec bool
}

func diskOf(dir string) (disk, error) {
	var (
		fs   syscall.Statfs_t
		file syscall.Stat_t
	)
	if err := syscall.Statfs(dir, &fs); err != nil {
		return disk{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if err := syscall.Stat(dir, &file); err != nil {
		return disk{}, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	const readOnly, noExec = 1, 8 // ST_RDONLY, ST_NOEXEC of statfs(2)
	return disk{
		device:   file.Dev,
		free:     int64(fs.Bavail) * fs.Bsize,
		readOnly: fs.Flags&readOnly != 0,
		noExec:   fs.Flags&noExec != 0,
	}, nil
}

// mark writes a file with an extended attribute into a folder, reads it back and
// removes the file.
func mark(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".meesh-preflight-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	const name, value = "user.meesh.preflight", "kept"
	if err := syscall.Setxattr(f.Name(), name, []byte(value), 0); err != nil {
		return os.NewSyscallError("setxattr", err)
	}
	found := make([]byte, 16)
	n, err := syscall.Getxattr(f.Name(), name, found)
	if err != nil {
		return os.NewSyscallError("getxattr", err)
	}
	if string(found[:n]) != value {
		return fmt.Errorf("%q came back for %q", found[:n], value)
	}
	return nil
}
