// Package setup does in a cluster what the local supervisor's tasks do on one machine.
//
// Addresses come as arguments, passwords from folders of mounted Secrets: a
// file per role or person.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/datameesh/datameesh/platform/bootstrap"
	"github.com/datameesh/datameesh/platform/dbt"
	"github.com/datameesh/datameesh/platform/grafana"
	"github.com/datameesh/datameesh/platform/hive"
	"github.com/datameesh/datameesh/platform/objectstore"
	"github.com/datameesh/datameesh/platform/policy"
	"github.com/datameesh/datameesh/platform/topology"
	"github.com/datameesh/datameesh/platform/trino"
)

// Passwords is a folder with a folder per Secret and a file per name in it.
type Passwords string

func (p Passwords) read(secret, name string) (string, error) {
	path := filepath.Join(string(p), secret, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("%s is empty; the Secret %s lacks a value", path, secret)
	}
	return password, nil
}

// pause between two tries to reach something that starts.
const pause = 500 * time.Millisecond

// until tries again while try fails, and tells what it waits for when that changes.
func until(ctx context.Context, log io.Writer, what string, try func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var told string
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if reason := err.Error(); reason != told {
			fmt.Fprintf(log, "waiting for %s: %s\n", what, reason)
			told = reason
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(err, ctx.Err()))
		}
	}
}

// Roles makes the roles and databases of PostgreSQL servers, each at its own
// name and port 5432, and waits for those that do not answer yet.
func Roles(ctx context.Context, log io.Writer, passwords Passwords, servers []string) error {
	for _, name := range servers {
		server, err := serverNamed(name)
		if err != nil {
			return err
		}
		password, err := passwords.read(name, topology.Superuser)
		if err != nil {
			return err
		}
		dsn := url.URL{
			Scheme: "postgres", User: url.UserPassword(topology.Superuser, password), Host: name + ":5432", Path: "/postgres",
			RawQuery: "sslmode=disable&connect_timeout=5",
		}
		if err := Wait(ctx, log, dsn.String()); err != nil {
			return err
		}
		changes, err := bootstrap.Run(ctx, bootstrap.PlanFor(server.Server, policy.TheMesh().LogIns(server.Passwords, topology.People)), bootstrap.Config{
			DSN:      dsn.String(),
			Password: func(role string) (string, error) { return passwords.read(name, role) },
			MaskKey:  func() (string, error) { return passwords.read(name, MaskKeyFile) },
			Remote: func(server, _ string) (string, int, string, error) {
				return "", 0, "", fmt.Errorf("%s reads %s: servers of a cluster do not read each other", name, server)
			},
		})
		for _, change := range changes {
			fmt.Fprintln(log, name+":", change)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(log, "%s: %d changes\n", name, len(changes))
	}
	return nil
}

// MaskKeyFile is the name, among a server's passwords, of the key of the hashes
// that Trino shows in place of personal data.
const MaskKeyFile = "mask-key"

func serverNamed(name string) (topology.KubernetesServer, error) {
	var names []string
	for _, s := range topology.KubernetesServers() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return topology.KubernetesServer{}, fmt.Errorf("there is no server %q; choose of %s", name, strings.Join(names, ", "))
}

// Wait waits until the role of a DSN can log in. The password may come from PGPASSWORD.
func Wait(ctx context.Context, log io.Writer, dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s on %s", config.User, config.Host)
	return until(ctx, log, what, func() error {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return reason(err)
		}
		return conn.Close(ctx)
	})
}

// reason is the server's own word, without addresses that differ at each try.
func reason(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return errors.New(pgErr.Message)
	}
	return err
}

// ObjectStore makes the buckets, keys and rights of the object store at s3 and
// admin (host:port).
func ObjectStore(ctx context.Context, log io.Writer, passwords Passwords, s3, admin string) error {
	secret, err := passwords.read("root", objectstore.Root)
	if err != nil {
		return err
	}
	endpoint := objectstore.Endpoint{Kind: objectstore.VersityGW, S3: s3, Admin: admin, Secret: secret}
	if err := until(ctx, log, s3, func() error { return endpoint.Ready(ctx) }); err != nil {
		return err
	}
	changes, err := objectstore.Setup(ctx, endpoint, objectstore.GrantsOf(topology.People), nil, func(name string) (string, error) { return passwords.read("people", name) })
	for _, change := range changes {
		fmt.Fprintln(log, change)
	}
	return err
}

// GrafanaPeople makes the people known to the Grafana at address (http://host:port);
// password is that of the account that makes the others. Who has no file among the
// passwords of the Secret people is unknown to the mesh: admin, unless asked for.
func GrafanaPeople(ctx context.Context, log io.Writer, passwords Passwords, address, password string) error {
	admin := grafana.Client{URL: address, Login: grafana.Admin, Password: password}
	if err := until(ctx, log, address, func() error { return admin.Do(ctx, http.MethodGet, "/api/health", nil, nil) }); err != nil {
		return err
	}
	all := topology.People
	if _, err := passwords.read("people", topology.Admin.Name); err == nil {
		all = append(slices.Clone(all), topology.Admin)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	people, gone, err := grafana.People(all, func(name string) (string, error) { return passwords.read("people", name) })
	if err != nil {
		return err
	}
	changes, err := grafana.SetUp(ctx, admin, people, gone)
	for _, change := range changes {
		fmt.Fprintln(log, change)
	}
	return err
}

// WaitObjectStore waits until a key of the object store at s3 (host:port) opens the lake.
func WaitObjectStore(ctx context.Context, log io.Writer, s3, access, secret string) error {
	client, err := objectstore.Endpoint{S3: s3}.Client(access, secret)
	if err != nil {
		return err
	}
	return until(ctx, log, s3, func() error {
		there, err := client.BucketExists(ctx, objectstore.Lake)
		if err == nil && !there {
			err = fmt.Errorf("no bucket %s yet", objectstore.Lake)
		}
		return err
	})
}

// MetastoreSchema makes the tables of the Hive metastore, or verifies them; home
// is the tree of the metastore.
func MetastoreSchema(ctx context.Context, log io.Writer, dsn, home string) error {
	if err := Wait(ctx, log, dsn); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	made, err := hive.InitSchema(ctx, conn, home)
	if err != nil {
		return err
	}
	what := "verified"
	if made {
		what = "made"
	}
	fmt.Fprintf(log, "tables of version %s %s\n", hive.SchemaVersion, what)
	return nil
}

// BuildMarts runs "dbt build" and publishes the marts; dsn is that of the owner
// of their schemas.
func BuildMarts(ctx context.Context, runner dbt.Runner, dsn string) error {
	// A pod that is new is let in by nobody until the network has heard of it.
	if err := Wait(ctx, runner.Stderr, dsn); err != nil {
		return err
	}
	trino := net.JoinHostPort(runner.Connection.Host, runner.Connection.Port)
	if err := until(ctx, runner.Stderr, trino, func() error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", trino)
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	published, err := runner.Build(ctx, conn, dbt.Command{Args: []string{"build"}})
	if err != nil {
		return err
	}
	fmt.Fprintf(runner.Stderr, "published %d marts together\n", len(published))
	return nil
}

// ServeDocs serves the documents of the last build at an address until ctx ends.
func ServeDocs(ctx context.Context, address, work string) error {
	server := &http.Server{
		Addr: address, Handler: dbt.DocsHandler(work),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// LeaveTrino asks the worker at address (host:port) to leave when this program is
// told to end. The worker ends by itself, after its last query.
func LeaveTrino(ctx context.Context, log io.Writer, address, sharedSecret string) error {
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if err := trino.Leave(ctx, address, sharedSecret); err != nil {
		return err
	}
	fmt.Fprintf(log, "%s leaves\n", address)
	return nil
}

// Folders makes folders that nobody else may enter.
func Folders(paths []string) error {
	for _, path := range paths {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	return nil
}
