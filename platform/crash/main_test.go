//go:build crash

package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/datameesh/datameesh/platform/fetch"
)

const (
	binariesVariable = "CRASH_TEST_POSTGRESQL"
	programsVariable = "CRASH_TEST_PROGRAMS"
	// longVariable makes the tests do what the issue asks for in full; without
	// it they do a small part of it in a minute.
	longVariable = "CRASH_TEST_LONG"
)

var programs = []string{"sales-api", "sales-migrate", "marketing-ingest", "marketing-migrate", "api-metrics-logger", "apimetrics-migrate"}

func long() bool { return os.Getenv(longVariable) != "" }

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runTests fetches PostgreSQL and runs the tests as an unprivileged user when
// started by root, because PostgreSQL refuses to run as root.
func runTests(m *testing.M) (int, error) {
	if os.Getenv(binariesVariable) != "" {
		return m.Run(), nil
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		return 0, err
	}
	postgresql, err := fetch.PostgreSQL(context.Background(), cache, nil)
	if err != nil {
		return 0, err
	}
	// Neither the folder that the programs lie in nor TMPDIR need be open to others.
	dir, err := os.MkdirTemp("/tmp", "crash-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is in /tmp
	for _, name := range programs {
		if err := copyFile(filepath.Join("../../bin", name), filepath.Join(dir, name)); err != nil {
			return 0, fmt.Errorf("%w; build the programs with: make build", err)
		}
	}
	self := filepath.Join(dir, "crash.test")
	if err := copyFile("/proc/self/exe", self); err != nil {
		return 0, err
	}
	arguments := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool {
		return strings.HasPrefix(a, "-test.testlogfile=") || strings.HasPrefix(a, "-test.coverprofile=")
	})
	command := exec.Command(self, arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, binariesVariable+"="+postgresql, programsVariable+"="+dir)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return 0, err
		}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{}}}
	}
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // only read
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}
