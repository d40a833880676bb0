// Package control is how the commands talk to the supervisor of a mesh: HTTP over a unix socket in the state folder.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/supervise"
	"github.com/datameesh/datameesh/platform/topology"
)

const socketName = "control.sock"

// A Report is what the supervisor says of itself and its components.
type Report struct {
	PID        int                `json:"pid"`
	Program    string             `json:"program"` // hex SHA-256 of the supervisor's own program
	Components []supervise.Status `json:"components"`
}

// An Order is what Reconcile passes on; it travels by the socket only, as it
// may hold a password.
type Order struct {
	AdminPassword string `json:"adminPassword,omitempty"` // see secrets.AdminPasswordVariable
	// HubLogin is how people log in to JupyterHub, a jupyterhub.LoginProvider, from now on; "" is by
	// the mesh's own passwords, nil is as before. It travels here as it may hold a secret.
	HubLogin *string `json:"hubLogin,omitempty"`
}

// A Rotation asks for a new API key.
type Rotation struct {
	Name    string        `json:"name"`
	Overlap time.Duration `json:"overlap"` // how long the old key still opens
}

// A PersonChange asks for somebody to be added, changed or removed; it travels
// by the socket only, as it may hold a password.
type PersonChange struct {
	Do       string          `json:"do"` // one of those below
	Person   topology.Person `json:"person"`
	Password string          `json:"password,omitempty"`
}

// What can be done with a person.
const (
	AddPerson    = "add"
	RemovePerson = "remove"
	SetPassword  = "password"
	RotatePerson = "rotate"
)

// A SourcePassword is that of a data source; it travels by the socket only. An
// empty one is removed.
type SourcePassword struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// throughFolder opens the folder of the socket and gives the socket a short
// name: the path of a unix socket has room for 108 bytes only, and a clone may
// lie deeper.
func throughFolder(d state.Dir) (path string, done func(), err error) {
	fd, err := unix.Open(d.Run(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &fs.PathError{Op: "open", Path: d.Run(), Err: err}
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(fd), socketName), func() { _ = unix.Close(fd) }, nil
}

// Listen opens the socket. The caller must hold the supervisor's lock: a
// socket that is there is taken for what a killed supervisor left.
func Listen(d state.Dir) (net.Listener, error) {
	path, done, err := throughFolder(d)
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		done()
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		done()
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	// The folder stays open: closing the listener removes the socket by this
	// path.
	return l, nil
}

// A Server answers the commands.
type Server struct {
	Supervisor *supervise.Supervisor
	Program    string
	Reconcile  func(Order) (supervise.Changes, error)
	Rotate     func(Rotation) error
	People     func(PersonChange) (supervise.Changes, error)
	Source     func(SourcePassword) error
	// End is called once, after everything has stopped or been let go.
	End func()

	// changing is held by whoever changes the mesh: each reads what there is and
	// writes it anew, so two at once would lose each other's change.
	changing sync.Mutex
}

// Handler is the API, all of it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /watch", s.watch)
	mux.HandleFunc("POST /reconcile", s.reconcile)
	mux.HandleFunc("POST /rotate", s.rotate)
	mux.HandleFunc("POST /people", s.people)
	mux.HandleFunc("POST /source", s.source)
	mux.HandleFunc("POST /stop", s.end(s.Supervisor.Stop))
	mux.HandleFunc("POST /detach", s.end(s.Supervisor.Detach))
	return mux
}

func (s *Server) report(components []supervise.Status) Report {
	return Report{PID: os.Getpid(), Program: s.Program, Components: components}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.report(s.Supervisor.Measure()))
}

// watch sends a report now and after each change, a line each.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	for {
		components, changed := s.Supervisor.Status()
		if err := json.NewEncoder(w).Encode(s.report(components)); err != nil {
			return // nobody listens any more
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request) {
	var order Order
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.changing.Lock()
	changes, err := s.Reconcile(order)
	s.changing.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(changes)
}

func (s *Server) rotate(w http.ResponseWriter, r *http.Request) {
	var rotation Rotation
	if err := json.NewDecoder(r.Body).Decode(&rotation); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.changing.Lock()
	err := s.Rotate(rotation)
	s.changing.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) people(w http.ResponseWriter, r *http.Request) {
	var change PersonChange
	if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.changing.Lock()
	changes, err := s.People(change)
	s.changing.Unlock()
	if refused, ok := errors.AsType[*secrets.PersonError](err); ok {
		http.Error(w, refused.Reason, http.StatusUnprocessableEntity)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(changes)
}

func (s *Server) source(w http.ResponseWriter, r *http.Request) {
	var p SourcePassword
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.changing.Lock()
	err := s.Source(p)
	s.changing.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) end(how func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		how()
		w.WriteHeader(http.StatusNoContent)
		s.End()
	}
}

// A Client talks to the supervisor of one mesh.
type Client struct {
	dir  state.Dir
	http *http.Client
}

// NewClient makes a client; nothing is connected to yet.
func NewClient(d state.Dir) *Client {
	c := &Client{dir: d}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, done, err := throughFolder(d)
			if err != nil {
				return nil, err
			}
			defer done()
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	return c
}

// ErrNotRunning tells that the mesh has no supervisor.
var ErrNotRunning = errors.New("the mesh is not running; start it with: meesh up")

// A PermissionError tells that the mesh belongs to another account.
type PermissionError struct{ Dir state.Dir }

func (e *PermissionError) Error() string {
	return fmt.Sprintf("the mesh in %s belongs to another user; run this as the user who started it", e.Dir)
}

func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, &PermissionError{c.dir}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case err != nil:
		return nil, fmt.Errorf("talk to the supervisor: %w", err)
	}
	if resp.StatusCode >= 300 {
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return nil, fmt.Errorf("talk to the supervisor: %w", err)
		}
		if resp.StatusCode == http.StatusUnprocessableEntity {
			return nil, &secrets.PersonError{Reason: string(bytes.TrimSpace(text))}
		}
		return nil, errors.New(string(bytes.TrimSpace(text)))
	}
	return resp, nil
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("talk to the supervisor: %w", err)
	}
	return nil
}

// Status returns the components with their memory; ErrNotRunning when there
// is no supervisor.
func (c *Client) Status(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var r Report
	err := c.call(ctx, http.MethodGet, "/status", nil, &r)
	return r, err
}

// Reconcile has the supervisor read the state folder again and bring the
// components in line with it.
func (c *Client) Reconcile(ctx context.Context, order Order) (supervise.Changes, error) {
	var changes supervise.Changes
	err := c.call(ctx, http.MethodPost, "/reconcile", order, &changes)
	return changes, err
}

// Stop ends all components and the supervisor.
func (c *Client) Stop(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/stop", nil, nil)
}

// Detach ends the supervisor and lets the components run.
func (c *Client) Detach(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/detach", nil, nil)
}

// Watch calls see with each report until see returns false or ctx ends.
func (c *Client) Watch(ctx context.Context, see func(Report) bool) error {
	resp, err := c.do(ctx, http.MethodGet, "/watch", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	d := json.NewDecoder(resp.Body)
	for {
		var r Report
		if err := d.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("the supervisor has ended; see: meesh logs supervisor")
			}
			return fmt.Errorf("talk to the supervisor: %w", err)
		}
		if !see(r) {
			return nil
		}
	}
}

// Rotate makes a new API key; the services accept it within a second.
func (c *Client) Rotate(ctx context.Context, r Rotation) error {
	return c.call(ctx, http.MethodPost, "/rotate", r, nil)
}

// ChangePerson adds, changes or removes somebody, and has everything follow
// that knows people. *secrets.PersonError tells why that is refused.
func (c *Client) ChangePerson(ctx context.Context, change PersonChange) (supervise.Changes, error) {
	var changes supervise.Changes
	err := c.call(ctx, http.MethodPost, "/people", change, &changes)
	return changes, err
}

// SetSource has the supervisor keep the password of a data source.
func (c *Client) SetSource(ctx context.Context, p SourcePassword) error {
	return c.call(ctx, http.MethodPost, "/source", p, nil)
}
