// Package query runs SQL on the mesh's Trino as one of its people.
package query

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	trinoclient "github.com/trinodb/trino-go-client/trino"
)

// A Config says where Trino is and who asks.
type Config struct {
	Address  string // "localhost:30808"; Trino's certificate must name the host
	CA       []byte // PEM of the CA that signed Trino's certificate
	User     string
	Password string
	Source   string // name of the program, shown beside its queries
	// Session are properties of Trino's session, with the catalog before those of one.
	Session map[string]string
}

// A Client runs queries of one person. Its methods may be called concurrently.
type Client struct {
	cfg       Config
	db        *sql.DB
	transport *http.Transport
}

// New makes a client; it does not connect yet.
func New(cfg Config) (*Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("query: the CA is not a PEM certificate; \"meesh up\" makes one")
	}
	// No proxy: Trino is on this machine.
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 4,
	}
	server := url.URL{Scheme: "https", User: url.UserPassword(cfg.User, cfg.Password), Host: cfg.Address}
	retry := 10 * time.Second
	connector, err := trinoclient.NewConnector(&trinoclient.Config{
		ServerURI:           server.String(),
		Source:              cfg.Source,
		TimeZone:            "UTC", // of values without a zone, and of current_timestamp
		HTTPClient:          &http.Client{Transport: watch{transport}},
		RequestRetryTimeout: &retry,
		SessionProperties:   cfg.Session,
	})
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return &Client{cfg: cfg, db: sql.OpenDB(connector), transport: transport}, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	err := c.db.Close()
	c.transport.CloseIdleConnections()
	return err
}

// A Column of a result.
type Column struct {
	Name string
	Type string // as SQL writes it: "decimal(14,2)"
}

// A Progress is what Trino says about a running query.
type Progress struct {
	QueryID         string
	State           string // "QUEUED", "PLANNING", "RUNNING", "FINISHED", …
	CompletedSplits int    // parts of the work that are done
	TotalSplits     int    // as far as known; grows while planning
	ProcessedRows   int64  // rows read from the sources
}

// Rows is the result of a query, row by row as Trino sends it. Not more than
// one response of Trino (some 1 MB) is held in memory.
type Rows struct {
	client   *Client
	rows     *sql.Rows
	sql      string
	columns  []Column
	scan     []any
	values   []any
	id       *queryID
	finished bool
	err      error
}

// Query starts a query. progress, if not nil, is called in another goroutine
// from time to time until the rows are closed. Close must be called on the
// rows; it cancels a query that is still running on the server, also when ctx
// has been cancelled.
//
// The error is *Error when Trino refuses or fails the query,
// *UnreachableError when Trino does not answer, *LoginError when it refuses
// the person, or ctx.Err().
func (c *Client) Query(ctx context.Context, statement string, progress func(Progress)) (*Rows, error) {
	id := &queryID{}
	ctx = context.WithValue(ctx, queryIDKey{}, id)
	var args []any
	if progress != nil {
		args = append(args,
			sql.Named("X-Trino-Progress-Callback", updater(progress)),
			sql.Named("X-Trino-Progress-Callback-Period", 200*time.Millisecond))
	}
	r := &Rows{client: c, sql: statement, id: id}
	rows, err := c.db.QueryContext(ctx, statement, args...)
	if err != nil {
		r.cancel()
		return nil, c.classify(ctx, statement, err)
	}
	r.rows = rows
	if err := r.readColumns(); err != nil {
		_ = r.Close() // the error before matters
		return nil, c.classify(ctx, statement, err)
	}
	return r, nil
}

func (r *Rows) readColumns() error {
	types, err := r.rows.ColumnTypes()
	if err != nil {
		return err
	}
	// The driver tells an error of the first response as "no columns".
	if len(types) == 0 && !r.rows.Next() {
		if err := r.rows.Err(); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r.finished = true
	}
	r.values = make([]any, len(types))
	r.scan = make([]any, len(types))
	for i, t := range types {
		r.columns = append(r.columns, Column{Name: t.Name(), Type: typeName(t)})
		r.scan[i] = &r.values[i]
	}
	return nil
}

// Columns of the result; none for a statement that has no result.
func (r *Rows) Columns() []Column { return r.columns }

// QueryID names the query in system.runtime.queries.
func (r *Rows) QueryID() string { return r.id.get() }

// Next reads the next row; false at the end or after an error.
func (r *Rows) Next(ctx context.Context) bool {
	if r.finished || r.err != nil {
		return false
	}
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil && !errors.Is(err, sql.ErrNoRows) {
			r.err = r.client.classify(ctx, r.sql, err)
		} else {
			r.finished = true
		}
		return false
	}
	if err := r.rows.Scan(r.scan...); err != nil {
		r.err = fmt.Errorf("read row: %w", err)
		return false
	}
	for i, v := range r.values {
		r.values[i] = value(v, r.columns[i].Type)
	}
	return true
}

// Values of the current row, valid until the next call of Next: nil, bool,
// int64, float64, json.Number (decimals, all their digits), string (text, and
// dates and times as SQL writes them, and bytes as hexadecimal digits), []any
// (arrays) or Object (rows and maps).
func (r *Rows) Values() []any { return r.values }

// Err is the error that ended Next; see Query.
func (r *Rows) Err() error { return r.err }

// Close ends the query, on the server too if it is still running there.
func (r *Rows) Close() error {
	err := r.rows.Close()
	if r.finished {
		return err
	}
	r.cancel()
	return nil
}

// cancelTimeout limits how long the end of a query keeps somebody waiting who
// pressed Ctrl-C.
const cancelTimeout = 5 * time.Second

// cancel ends the query on the server. The driver does that too, but not while
// it waits for the first response.
func (r *Rows) cancel() {
	id := r.id.get()
	if id == "" {
		return // never reached the server, or was refused there
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	u := url.URL{Scheme: "https", Host: r.client.cfg.Address, Path: "/v1/query/" + id}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, u.String(), nil)
	if err != nil {
		return
	}
	req.SetBasicAuth(r.client.cfg.User, r.client.cfg.Password)
	req.Header.Set("X-Trino-User", r.client.cfg.User)
	// A query that cannot be cancelled now, because Trino is gone, ends with
	// it; one that nobody reads any more Trino ends by itself.
	if resp, err := r.client.transport.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
	}
}

// updater makes a function the driver's ProgressUpdater.
type updater func(Progress)

func (u updater) Update(info trinoclient.QueryProgressInfo) {
	u(Progress{
		QueryID:         info.QueryId,
		State:           info.QueryStats.State,
		CompletedSplits: info.QueryStats.CompletedSplits,
		TotalSplits:     info.QueryStats.TotalSplits,
		ProcessedRows:   info.QueryStats.ProcessedRows,
	})
}

// A queryID travels in the context of a query to where its first response
// arrives.
type queryID struct {
	mu sync.Mutex
	id string
}

type queryIDKey struct{}

func (q *queryID) set(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.id = id
}

func (q *queryID) get() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.id
}

// watch notes the id of each query that is started, and tells at once that
// nobody listens: the driver would try again for a while.
type watch struct{ next http.RoundTripper }

func (w watch) RoundTrip(req *http.Request) (*http.Response, error) {
	id, _ := req.Context().Value(queryIDKey{}).(*queryID)
	if req.Method != http.MethodPost || id == nil {
		resp, err := w.next.RoundTrip(req)
		return resp, notListening(err)
	}
	// Who interrupts the request that starts the query still has to learn its
	// id, or the query could not be cancelled.
	ctx, cancel := context.WithCancel(context.WithoutCancel(req.Context()))
	defer cancel()
	stop := context.AfterFunc(req.Context(), func() {
		time.AfterFunc(cancelTimeout, cancel)
	})
	defer stop()
	resp, err := w.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, notListening(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	var started struct {
		ID string `json:"id"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(body, &started) == nil {
		id.set(started.ID)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// notListening hides from the driver that a connection could not be made.
func notListening(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &UnreachableError{Reason: op.Err.Error()}
	}
	return err
}
