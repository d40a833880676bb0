package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// nobody is the account that Debian keeps for programs without rights.
// PostgreSQL refuses to run as root, and everything it writes here is thrown away.
const nobody = 65534

// start runs this program again as the server's side, under another account
// when started by root, and waits until it says where it listens.
func start(ctx context.Context, binaries string) (*server, error) {
	folder, err := os.MkdirTemp("", "test-postgres-")
	if err != nil {
		return nil, err
	}
	// The executable may lie where the other account cannot go; the link in
	// /proc leads to it all the same.
	command := exec.CommandContext(ctx, "/proc/self/exe", serveArgument, binaries, folder)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the command
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(folder, nobody, nobody); err != nil {
			return nil, err
		}
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the server did not start"), command.Wait(), os.RemoveAll(folder))
	}
	return &server{url: strings.TrimSpace(url), folder: folder, process: command, stdin: stdin}, nil
}

func (s *server) stop() error {
	return errors.Join(s.stdin.Close(), s.process.Wait(), os.RemoveAll(s.folder))
}

// serve runs a server in the folder, tells its URL, and stops it when nobody
// holds stdin open any more.
func serve(binaries, folder string, stdin io.Reader, stdout io.Writer) error {
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the folder is about to be removed
	port, err := freePort()
	if err != nil {
		return err
	}
	password := rand.Text()
	database := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version("15.18.0").
		BinariesPath(binaries).
		CachePath(filepath.Join(folder, "cache")). // stays empty: the binaries are there
		RuntimePath(filepath.Join(folder, "runtime")).
		DataPath(filepath.Join(folder, "data")).
		Port(uint32(port)).
		Username("postgres").Password(password).Database("postgres").
		Encoding("UTF8").Locale("C.UTF-8").
		StartTimeout(time.Minute).
		StartParameters(map[string]string{
			"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300", "timezone": "UTC",
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
		}).
		Logger(log))
	if err := database.Start(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable\n", password, port)
	_, err = io.Copy(io.Discard, stdin)
	return errors.Join(err, database.Stop())
}

func freePort() (int, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(port)
	return n, errors.Join(err, listener.Close())
}
