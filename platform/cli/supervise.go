package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/account"
	"github.com/datameesh/datameesh/platform/control"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

func supervisorLock(d state.Dir) string { return filepath.Join(d.Run(), "supervisor.lock") }

// listening is what the supervisor tells the "up" that started it.
const listening = "listening\n"

// readyFile is the descriptor that it tells it on; exec.Cmd.ExtraFiles begin at 3.
const readyFile = 3

// newSuperviseCommand is the detached process that keeps the mesh running,
// under the servers' account. "up" starts it.
func newSuperviseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "supervise", Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			unix.CloseOnExec(readyFile)
			starter := os.NewFile(readyFile, "starter")
			err := superviseMesh(c.Context(), func() error {
				defer func() { _ = starter.Close() }()
				_, err := io.WriteString(starter, listening)
				return err
			})
			if err != nil {
				// Fails when the starter has gone or was answered already.
				_, _ = io.WriteString(starter, err.Error())
			}
			return err
		},
	}
}

func superviseMesh(ctx context.Context, ready func() error) error {
	d, err := state.Find()
	if err != nil {
		return err
	}
	syscall.Umask(0o077)
	logFile, err := os.OpenFile(d.Log("supervisor"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	// What the runtime prints when it dies must not be lost.
	if err := unix.Dup2(int(logFile.Fd()), 2); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(logFile, nil))

	// A predecessor that has just let its components go may hold the lock for
	// a moment.
	waitCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	unlock, err := control.Lock(waitCtx, supervisorLock(d), strconv.Itoa(os.Getpid()), func(holder string) {
		log.Info("waiting for the supervisor before this one", "pid", holder)
	})
	if err != nil {
		return fmt.Errorf("another supervisor runs: %w", err)
	}
	defer unlock()

	program, err := local.Sum("/proc/self/exe")
	if err != nil {
		return err
	}
	listener, err := control.Listen(d)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	s := &control.Server{
		Supervisor: supervise.New(d.Run(), supervise.DefaultTiming, log),
		Program:    hex.EncodeToString(program),
		End:        func() { close(ended) },
	}
	s.Reconcile = func(o control.Order) (supervise.Changes, error) {
		changes, err := reconcile(d, s.Supervisor, o)
		log.Info("reconcile", "changes", changes.String(), "error", err)
		return changes, err
	}
	s.Rotate = func(r control.Rotation) error {
		err := rotate(d, r)
		log.Info("rotate", "key", r.Name, "overlap", r.Overlap.String(), "error", err)
		return err
	}
	s.People = func(c control.PersonChange) (supervise.Changes, error) {
		changes, err := changePerson(d, s.Supervisor, c)
		log.Info("person", "do", c.Do, "name", c.Person.Name, "group", c.Person.Group, "changes", changes.String(), "error", err)
		return changes, err
	}
	s.Source = func(p control.SourcePassword) error {
		store, err := secrets.Open(d.Secrets())
		if err == nil {
			err = store.SetSource(p.Name, p.Password)
		}
		log.Info("source", "name", p.Name, "kept", p.Password != "", "error", err)
		return err
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(listener) }()
	log.Info("supervisor started", "pid", os.Getpid())
	if err := ready(); err != nil {
		return err
	}
	select {
	case <-ctx.Done(): // SIGTERM: the machine goes down, perhaps
		s.Supervisor.Stop()
	case err := <-serveErr:
		s.Supervisor.Detach()
		return fmt.Errorf("serve commands: %w", err)
	case <-ended:
	}
	log.Info("supervisor ended")
	shutdown, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// Lets the answer to the command that ended us out; "watch" never ends by itself.
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func rotate(d state.Dir, r control.Rotation) error {
	store, err := secrets.Open(d.Secrets())
	if err != nil {
		return err
	}
	if err := store.RotateAPIKey(r.Name, r.Overlap); err != nil {
		return err
	}
	return local.WriteAPIKeys(d, store)
}

// changePerson changes the list of people and has everything follow.
func changePerson(d state.Dir, s *supervise.Supervisor, c control.PersonChange) (supervise.Changes, error) {
	store, err := secrets.Open(d.Secrets())
	if err != nil {
		return supervise.Changes{}, err
	}
	m, err := state.Load(d)
	if err != nil {
		return supervise.Changes{}, err
	}
	switch c.Do {
	case control.AddPerson:
		people, err := store.Persons()
		if err != nil {
			return supervise.Changes{}, err
		}
		if err := objectstore.CheckRoom(objectstore.Kind(m.ObjectStore), append(people, c.Person)); err != nil {
			return supervise.Changes{}, &secrets.PersonError{Reason: err.Error()}
		}
		err = store.AddPerson(c.Person, c.Password)
		if err != nil {
			return supervise.Changes{}, err
		}
	case control.RemovePerson:
		err = store.RemovePerson(c.Person.Name)
	case control.SetPassword:
		err = store.SetPassword(c.Person.Name, c.Password)
	case control.RotatePerson:
		err = store.RotatePerson(c.Person.Name)
	default:
		err = fmt.Errorf("nothing is called %q", c.Do)
	}
	if err != nil {
		return supervise.Changes{}, err
	}
	// The person admin stays as they are.
	admin, err := store.AdminPassword()
	if err != nil {
		return supervise.Changes{}, err
	}
	return reconcile(d, s, control.Order{AdminPassword: admin})
}

// reconcile brings the components in line with the state folder.
func reconcile(d state.Dir, s *supervise.Supervisor, o control.Order) (supervise.Changes, error) {
	store, _, err := secrets.Ensure(d.Secrets(), o.AdminPassword)
	if err == nil && o.HubLogin != nil {
		err = store.SetHubLogin(*o.HubLogin)
	}
	if err != nil {
		return supervise.Changes{}, err
	}
	m, err := state.Load(d)
	if err != nil {
		return supervise.Changes{}, err
	}
	specs, err := local.Components(d, m, store, warmUp(m, store))
	if err != nil {
		return supervise.Changes{}, err
	}
	return s.Reconcile(specs)
}

// startSupervisor starts the detached supervisor under the account and returns
// when it listens.
func startSupervisor(ctx context.Context, d state.Dir, a account.Account) error {
	tell, told, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer func() { _ = tell.Close() }()
	cmd := exec.Command(filepath.Join(d.Bin(), "meesh"), "supervise") //nolint:noctx // it outlives this command
	cmd.Dir = "/"                                                     // it must not keep a folder of the caller's busy
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + string(d), "TZ=UTC", state.HomeVariable + "=" + string(d)}
	cmd.ExtraFiles = []*os.File{told}
	// A session of its own: it outlives the caller's terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: a.Credential()}
	err = cmd.Start()
	_ = told.Close()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = tell.SetReadDeadline(time.Now()) })
	defer stop()
	text, err := io.ReadAll(tell)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	if string(text) != listening {
		err := cmd.Wait()
		return fmt.Errorf("start supervisor: %s (%w)", text, err)
	}
	return cmd.Process.Release()
}

// newInitServerCommand is the task that makes a PostgreSQL data folder.
func newInitServerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init-server SERVER", Hidden: true, Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			server, ok := topology.ServerNamed(given[0])
			if !ok {
				return usageError(c, fmt.Errorf("no server is called %q", given[0]))
			}
			d, err := state.Find()
			if err != nil {
				return err
			}
			m, err := state.Load(d)
			if err != nil {
				return err
			}
			store, err := secrets.Open(d.Secrets())
			if err != nil {
				return err
			}
			password, err := store.Role(server.Name, topology.Superuser)
			if err != nil {
				return err
			}
			// embedded-postgres leaves a log in the temporary folder.
			temp, err := os.MkdirTemp(filepath.Dir(d.Data(server.Name)), "temp-")
			if err != nil {
				return err
			}
			if err := os.Setenv("TMPDIR", temp); err != nil {
				return err
			}
			err = local.InitServer(d, m, server, password, c.ErrOrStderr())
			return errors.Join(err, os.RemoveAll(temp))
		},
	}
}
