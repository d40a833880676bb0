package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/postgrestest"
)

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
		command.SysProcAttr.Credential = &syscall.Credential{Uid: postgrestest.Nobody, Gid: postgrestest.Nobody}
		if err := os.Chown(folder, postgrestest.Nobody, postgrestest.Nobody); err != nil {
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
	port, err := freeport.New()
	if err != nil {
		return err
	}
	password, settings := rand.Text(), postgrestest.Settings()
	maps.Copy(settings, map[string]string{
		"max_connections": "300", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
	})
	database := embeddedpostgres.NewDatabase(postgrestest.Config(binaries, folder, port, password, log).StartParameters(settings))
	if err := database.Start(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable\n", password, port)
	_, err = io.Copy(io.Discard, stdin)
	return errors.Join(err, database.Stop())
}
