package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/datameesh/datameesh/platform/freeport"
	"github.com/datameesh/datameesh/platform/postgrestest"
)

// A process is a program that runs beside the benchmark.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{}
	log     string
}

// start starts a program; its output goes to a file that is shown when it fails.
func (r *rig) start(ctx context.Context, env []string, path string, args ...string) (*process, error) {
	p, err := startProcess(ctx, r.folder, nil, env, path, args...)
	if err == nil {
		r.running = append(r.running, p)
	}
	return p, err
}

func startProcess(ctx context.Context, folder string, as *syscall.Credential, env []string, path string, args ...string) (*process, error) {
	log, err := os.CreateTemp(folder, filepath.Base(path)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	command := exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	command.Env, command.Dir = env, folder
	command.Stdout, command.Stderr = log, log
	// A group of its own: Ctrl-C is for the benchmark, which then stops it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p := &process{filepath.Base(path), command, make(chan struct{}), log.Name()}
	go func() {
		_ = command.Wait() // whoever needs the process finds it gone
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// ready waits until url answers 200.
func (p *process) ready(ctx context.Context, url string) error {
	return p.until(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // its status is enough
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	})
}

// until waits until check is content, the process ends, or a minute is over.
func (p *process) until(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, p.said())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, err, p.said())
		}
	}
}

func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

func (p *process) stop() error { return p.stopBy(syscall.SIGTERM) }

func (p *process) stopBy(signal syscall.Signal) error {
	if err := p.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Minute):
		return errors.Join(fmt.Errorf("%s did not stop: %s", p.name, p.said()), p.command.Process.Kill())
	}
}

// cpu gives the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	// Ticks of /proc/PID/stat are hundredths; the scheduler counts nanoseconds.
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid()))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("processor time of %s: no threads found: %w", p.name, err)
	}
	var total time.Duration
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n)
	}
	return total, nil
}

// peakMemory gives the most that was resident at once, in bytes.
func (p *process) peakMemory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscanf(after, "%d kB", &kilobytes); err != nil {
		return 0, fmt.Errorf("peak memory of %s: %w", p.name, err)
	}
	return kilobytes << 10, nil
}

// run runs a program to its end and gives what it writes to stdout.
func (r *rig) run(ctx context.Context, env []string, path string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, path, args...)
	command.Env, command.Dir = env, r.folder
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %.200s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func freeAddr() (string, error) {
	port, err := freeport.New()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// A postgres is the PostgreSQL server of the benchmark. It keeps what it is
// told safe on disk, as the mesh's servers do.
type postgres struct {
	*process
	port int
}

// postgresSettings are those of the mesh's servers (platform/local).
var postgresSettings = []string{
	"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100", "shared_buffers=64MB", "max_wal_size=512MB",
	"password_encryption=scram-sha-256", "timezone=UTC", "jit=off", "fsync=on", "synchronous_commit=on", "full_page_writes=on",
}

func startPostgres(ctx context.Context, binaries, folder, password string) (*postgres, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	secret := filepath.Join(folder, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return nil, err
	}
	var as *syscall.Credential
	if os.Geteuid() == 0 {
		as = &syscall.Credential{Uid: postgrestest.Nobody, Gid: postgrestest.Nobody}
		// The folder around it is the benchmark's; others may only pass.
		if err := errors.Join(os.Chown(folder, postgrestest.Nobody, postgrestest.Nobody), os.Chown(secret, postgrestest.Nobody, postgrestest.Nobody), os.Chmod(filepath.Dir(folder), 0o711)); err != nil {
			return nil, err
		}
	}
	env := []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	data := filepath.Join(folder, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(binaries, "bin", "initdb"), "-D", data, "-U", "postgres", "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8")
	initdb.Env, initdb.Dir, initdb.SysProcAttr = env, folder, &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freeport.New()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	for _, s := range postgresSettings {
		args = append(args, "-c", s)
	}
	p, err := startProcess(ctx, filepath.Dir(folder), as, env, filepath.Join(binaries, "bin", "postgres"), args...)
	if err != nil {
		return nil, err
	}
	server := &postgres{p, port}
	r := rig{server: server, password: password}
	if err := p.until(ctx, func(ctx context.Context) error { return r.exec(ctx, "postgres", "SELECT 1") }); err != nil {
		return nil, errors.Join(err, server.stop())
	}
	return server, nil
}

// stop ends all sessions and then the server.
func (p *postgres) stop() error { return p.stopBy(syscall.SIGINT) }
