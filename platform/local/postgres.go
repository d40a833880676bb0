package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/datameesh/datameesh/platform/audit"
	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

// PostgresSettings of every server, given on the command line so that a change
// of them restarts the server like a change of anything else.
var PostgresSettings = []string{
	"listen_addresses=127.0.0.1",
	// Clients come by TCP; a socket path below a deep folder would be too long.
	"unix_socket_directories=",
	"max_connections=100",
	"shared_buffers=64MB",
	"max_wal_size=512MB",
	"password_encryption=scram-sha-256",
	"timezone=UTC",
	"log_timezone=UTC",
	"log_line_prefix=" + audit.LinePrefix,
	"log_checkpoints=off",
	"jit=off", // this build has no LLVM
	// Whoever tries passwords waits half a second for each that is wrong.
	"shared_preload_libraries=auth_delay",
	"auth_delay.milliseconds=500",
}

// postgresServer runs a server as a child of the supervisor. It is not left to
// pg_ctl, which embedded-postgres uses: pg_ctl detaches the server, and what
// restarts a process must own it.
func (m *mesh) postgresServer(server topology.Server) supervise.Spec {
	data := m.dir.Data(server.Name)
	port := m.Port(server.Port)
	args := []string{"-D", data, "-p", strconv.Itoa(port)}
	for _, s := range PostgresSettings {
		args = append(args, "-c", s)
	}
	spec := m.spec(supervise.Server, server.Name, filepath.Join(m.Tools.PostgreSQL, "bin", "postgres"), args...)
	spec.Dir = data
	spec.DependsOn = []string{initTask(server)}
	spec.URL = fmt.Sprintf("postgres://127.0.0.1:%d", port)
	spec.Env = append(spec.Env, "LC_ALL="+postgresLocale)
	spec.Prepare = func(ctx context.Context) error { return clearRemains(ctx, data, postmasterPID) }
	spec.Ready = func(ctx context.Context) error { return acceptsConnections(ctx, port) }
	spec.StartTimeout = 10 * time.Minute // replaying the log after a crash may take a while
	spec.StopSignal = syscall.SIGINT     // "fast": ends sessions, then writes everything out
	spec.StopGrace = time.Minute
	if m.Tools.PostgreSQL == "" {
		spec.Hold = "download"
	}
	return spec
}

// clearRemains waits until no process of a server that was killed works in its
// folder any more, then removes its pid file: after a restart of the machine
// the number in it may belong to any process, and the server would take that
// for itself and refuse to start.
func clearRemains(ctx context.Context, dir, pidFile string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := supervise.Using(dir)
		if err != nil {
			return fmt.Errorf("look for processes in %s: %w", dir, err)
		}
		if len(pids) == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("processes %v of an earlier server still work in %s", pids, dir)
		}
	}
	err := os.Remove(filepath.Join(dir, pidFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const postmasterPID = "postmaster.pid"

// acceptsConnections asks a server as pg_isready does: it begins to log in and
// goes away when it is asked for a password. Whatever else the server answers
// than "not now" shows that it takes connections.
func acceptsConnections(ctx context.Context, port int) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("port %d: %w", port, err)
		}
	}()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", loopback(port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	message := binary.BigEndian.AppendUint32(nil, 0)
	message = binary.BigEndian.AppendUint32(message, 3<<16) // protocol 3.0
	message = append(message, "user\x00"+topology.Superuser+"\x00database\x00postgres\x00\x00"...)
	binary.BigEndian.PutUint32(message, uint32(len(message)))
	if _, err := conn.Write(message); err != nil {
		return err
	}
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	// Read to its end, or the server would log that the connection was reset.
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > 64<<10 {
		return errors.New("what listens there is not PostgreSQL")
	}
	body := make([]byte, length-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	// 57P03 is cannot_connect_now: starting up, recovering or shutting down.
	if text := string(body); head[0] == 'E' && strings.Contains(text, "C57P03\x00") {
		for field := range strings.SplitSeq(text, "\x00") {
			if reason, ok := strings.CutPrefix(field, "M"); ok {
				return errors.New(reason)
			}
		}
		return errors.New("the server does not take connections now")
	}
	return nil
}

// postgresLocale sorts bytewise, the same everywhere, and knows upper and lower
// case of all letters, which "C" does not.
const postgresLocale = "C.UTF-8"

// clientAccess is pg_hba.conf: a password for everybody, from this machine only.
const clientAccess = `# Written by meesh when the server was initialised.
# TYPE  DATABASE  USER  ADDRESS       METHOD
host    all       all   127.0.0.1/32  scram-sha-256
`

// InitServer makes the data folder of a PostgreSQL server unless it is there.
// The work is done in another folder that is renamed at the end, so a data
// folder is either complete or absent.
//
// The password must hold no space or quote: embedded-postgres pastes it into a
// connection string. It initialises the cluster and starts it once to see that it
// works. It has no option for data checksums, and pg_checksums is not among its
// programs.
func InitServer(d state.Dir, m state.Mesh, server topology.Server, password string, log io.Writer) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("initialise %s: %w", server.Name, err)
		}
	}()
	data := d.Data(server.Name)
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		fmt.Fprintf(log, "%s is initialised already\n", data)
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := removeRemains(data); err != nil {
		return err
	}
	// A new folder each time: a killed initialisation may still have a process
	// that writes to its own.
	work, err := os.MkdirTemp(filepath.Dir(data), filepath.Base(data)+workInfix)
	if err != nil {
		return err
	}
	database := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetch.PostgreSQLVersion).
		BinariesPath(m.Tools.PostgreSQL).
		CachePath(filepath.Join(work, "cache")). // stays empty: the binaries are there
		RuntimePath(filepath.Join(work, "runtime")).
		DataPath(filepath.Join(work, "data")).
		Port(uint32(m.Port(server.Port))).
		Username(topology.Superuser).Password(password).Database("postgres").
		Encoding("UTF8").Locale(postgresLocale).
		StartTimeout(2 * time.Minute).
		StartParameters(map[string]string{"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}).
		Logger(log))
	if err := database.Start(); err != nil {
		return err
	}
	if err := database.Stop(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "data", "pg_hba.conf"), []byte(clientAccess), 0o600); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "data"), data); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// workInfix stands in the names of the folders that servers are initialised in.
const workInfix = ".init-"

// removeRemains removes what interrupted initialisations of the data folder
// left, after ending the server that one may have left running.
func removeRemains(data string) error {
	folders, err := filepath.Glob(data + workInfix + "*")
	if err != nil {
		return err
	}
	for _, work := range folders {
		cluster := filepath.Join(work, "data")
		pids, err := supervise.Using(cluster)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			// "immediate": nothing in it is worth keeping.
			if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err = clearRemains(ctx, cluster, postmasterPID)
		cancel()
		if err != nil {
			return err
		}
		if err := os.RemoveAll(work); err != nil {
			return err
		}
	}
	return nil
}
