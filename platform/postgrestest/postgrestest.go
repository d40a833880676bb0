// Package postgrestest gives tests a PostgreSQL server of their own.
package postgrestest

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
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/freeport"
)

// Nobody is the account that Debian keeps for programs without rights.
// PostgreSQL refuses to run as root, and what tests write is thrown away.
const Nobody = 65534

const (
	binariesVariable = "POSTGRESTEST_BINARIES"
	folderVariable   = "POSTGRESTEST_FOLDER"
)

// Main fetches PostgreSQL and runs the tests in a folder of their own, as
// Nobody when started by root. The programs (paths of built ones) come along.
// A TestMain calls it and exits with what it gives.
func Main(m *testing.M, programs ...string) int {
	code, err := run(m, programs)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func run(m *testing.M, programs []string) (code int, err error) {
	if os.Getenv(binariesVariable) != "" {
		return m.Run(), nil
	}
	cache, err := fetch.CacheDir()
	if err != nil {
		return 0, err
	}
	binaries, err := fetch.PostgreSQL(context.Background(), cache, nil)
	if err != nil {
		return 0, err
	}
	// Neither the folder that the programs lie in nor TMPDIR need be open to others.
	folder, err := os.MkdirTemp("/tmp", "postgrestest-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	for _, path := range programs {
		if err := copyFile(path, filepath.Join(folder, filepath.Base(path))); err != nil {
			return 0, fmt.Errorf("%w; build the programs with: make build", err)
		}
	}
	self := filepath.Join(folder, "self.test")
	if err := copyFile("/proc/self/exe", self); err != nil {
		return 0, err
	}
	arguments := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool {
		return strings.HasPrefix(a, "-test.testlogfile=") || strings.HasPrefix(a, "-test.coverprofile=")
	})
	command := exec.CommandContext(context.Background(), self, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "TMPDIR="+folder, "HOME="+folder, binariesVariable+"="+binaries, folderVariable+"="+folder)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if os.Geteuid() == 0 {
		if err := os.Chown(folder, Nobody, Nobody); err != nil {
			return 0, err
		}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody, Groups: []uint32{}}}
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

// Binaries is the folder of PostgreSQL's programs, below Main.
func Binaries() string { return os.Getenv(binariesVariable) }

// Program is the path of one that came along, below Main.
func Program(name string) string { return filepath.Join(os.Getenv(folderVariable), name) }

// Port is a free one; the test fails without any.
func Port(t testing.TB) int {
	t.Helper()
	port, err := freeport.New()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Config is that of a server with everything it writes in the folder: on
// loopback, in UTC, for the superuser postgres with this password.
func Config(binaries, folder string, port int, password string, log io.Writer) embeddedpostgres.Config {
	return embeddedpostgres.DefaultConfig().
		Version(fetch.PostgreSQLVersion).
		BinariesPath(binaries).
		CachePath(filepath.Join(folder, "cache")). // stays empty: the binaries are there
		RuntimePath(filepath.Join(folder, "runtime")).
		DataPath(filepath.Join(folder, "data")).
		Port(uint32(port)).
		Username("postgres").Password(password).Database("postgres").
		Encoding("UTF8").Locale("C.UTF-8").
		StartTimeout(time.Minute).
		StartParameters(Settings()).
		Logger(log)
}

// Settings are those of Config, to be added to.
func Settings() map[string]string {
	return map[string]string{"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "timezone": "UTC"}
}
