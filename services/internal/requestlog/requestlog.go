// Package requestlog sends what an API served to the API metrics logger beside it.
//
// It never slows or fails a request: Record puts an entry into a bounded queue,
// or counts it as dropped when the queue is full; one goroutine sends batches.
package requestlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// An Entry is one served request, as the logger receives it. It holds route
// templates ("/v1/customers/:id"), never raw paths, query strings or bodies, so
// that no personal data can get in.
type Entry struct {
	ServedAt  time.Time `json:"served_at"`
	Service   string    `json:"service"`
	Route     string    `json:"route"`
	Method    string    `json:"method"`
	Status    int       `json:"status"`
	Duration  int64     `json:"duration_us"` // microseconds
	Bytes     int64     `json:"response_bytes"`
	RequestID string    `json:"request_id"`
	KeyName   string    `json:"api_key,omitempty"` // name of the API key, never the key
}

// A Batch is the body of POST /v1/logs of the logger.
type Batch struct {
	Entries []Entry `json:"entries"`
}

// Unmatched is the route of a request whose path no route matched, Other the
// method of a request whose method HTTP does not know. What the caller sent
// instead is not kept: it may hold anything, personal data too.
const (
	Unmatched = "(unmatched)"
	Other     = "OTHER"
)

const (
	queueSize   = 16_384
	batchSize   = 1_000
	batchPause  = time.Second
	sendTimeout = 5 * time.Second
	// stopTimeout bounds Stop when its context does not: a logger that hangs
	// must not keep a program from ending.
	stopTimeout = 5 * time.Second
)

// A Client is the sending side. A nil Client records nothing.
type Client struct {
	service, url, key string
	pause             time.Duration // at most, between an entry and its batch
	queue             chan Entry
	http              *http.Client

	stop     chan struct{} // closed when Stop begins
	stopOnce sync.Once
	done     chan struct{} // closed when the last batch is through
	sending  context.Context
	abandon  context.CancelFunc // ends sending

	served, sent, dropped atomic.Int64
}

// Start makes the client of the service for the logger at url. Without a url
// there is no request logging and the client is nil.
func Start(service, url, key string) *Client {
	return start(service, url, key, batchPause)
}

func start(service, url, key string, pause time.Duration) *Client {
	if url == "" {
		return nil
	}
	c := &Client{
		service: service, url: url + "/v1/logs", key: key,
		pause: pause,
		queue: make(chan Entry, queueSize),
		http:  &http.Client{Timeout: sendTimeout},
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	c.sending, c.abandon = context.WithCancel(context.Background())
	go c.run()
	return c
}

// Record takes an entry of a served request; it fills in the service's name, and
// the route and method of requests that have none to show. It never waits: what
// finds the queue full, or comes after Stop, is counted as dropped.
func (c *Client) Record(e Entry) {
	if c == nil {
		return
	}
	e.Service = c.service
	e.Method = method(e.Method)
	if e.Route == "" {
		e.Route = Unmatched
	}
	c.served.Add(1)
	select {
	case <-c.stop:
		c.dropped.Add(1)
		return
	default:
	}
	select {
	case c.queue <- e:
	default:
		c.dropped.Add(1)
	}
}

// method gives one of the methods of HTTP (RFC 9110, RFC 5789), else Other. It
// gives a constant: the string of a request is a piece of its first line, which
// would stay in memory, path and all, for as long as the entry is queued.
func method(given string) string {
	switch given {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodConnect:
		return http.MethodConnect
	case http.MethodOptions:
		return http.MethodOptions
	case http.MethodTrace:
		return http.MethodTrace
	}
	return Other
}

// Counts says what became of the requests so far. Those that are neither sent
// nor dropped are queued or on their way: served = sent + queued + dropped.
func (c *Client) Counts() (served, sent, dropped int64) {
	if c == nil {
		return 0, 0, 0
	}
	// served last: it grows before the others, so their sum never exceeds it.
	sent, dropped = c.sent.Load(), c.dropped.Load()
	return c.served.Load(), sent, dropped
}

// Stop sends what is queued and ends. What is not sent when ctx ends, or after
// five seconds, is dropped.
func (c *Client) Stop(ctx context.Context) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c.stopOnce.Do(func() { close(c.stop) })
	select {
	case <-c.done:
	case <-ctx.Done():
		c.abandon()
		<-c.done
	}
	served, sent, dropped := c.Counts()
	slog.Info("request log ended", "served", served, "sent", sent, "dropped", dropped)
}

// run collects entries for at most a pause and sends them.
func (c *Client) run() {
	defer close(c.done)
	defer c.abandon() // nothing is sent any more
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	batch := make([]Entry, 0, batchSize)
	add := func(e Entry) {
		if batch = append(batch, e); len(batch) == batchSize {
			c.send(batch)
			batch = batch[:0]
		}
	}
	for {
		select {
		case e := <-c.queue:
			add(e)
		case <-ticker.C:
			c.send(batch)
			batch = batch[:0]
		case <-c.stop:
			for {
				select {
				case e := <-c.queue:
					add(e)
				default:
					c.send(batch)
					return
				}
			}
		}
	}
}

// send delivers a batch or counts it as dropped.
func (c *Client) send(batch []Entry) {
	if len(batch) == 0 {
		return
	}
	if err := c.post(batch); err != nil {
		c.dropped.Add(int64(len(batch)))
		slog.Warn("request log entries dropped", "entries", len(batch), "error", err)
		return
	}
	c.sent.Add(int64(len(batch)))
}

func (c *Client) post(batch []Entry) error {
	body, err := json.Marshal(Batch{Entries: batch})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(c.sending, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.key)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to the end below
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the logger answered %s", response.Status)
	}
	return nil
}
