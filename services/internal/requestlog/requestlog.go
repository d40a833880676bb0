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

const (
	queueSize   = 16_384
	batchSize   = 1_000
	batchPause  = time.Second
	sendTimeout = 5 * time.Second
)

// A Client is the sending side. A nil Client records nothing.
type Client struct {
	service, url, key string
	queue             chan Entry
	done              chan struct{}
	http              *http.Client

	served, sent, dropped atomic.Int64
}

// Start makes the client of the service for the logger at url. Without a url
// there is no request logging and the client is nil.
func Start(service, url, key string) *Client {
	if url == "" {
		return nil
	}
	c := &Client{
		service: service, url: url + "/v1/logs", key: key,
		queue: make(chan Entry, queueSize),
		done:  make(chan struct{}),
		http:  &http.Client{Timeout: sendTimeout},
	}
	go c.run()
	return c
}

// Record takes an entry of a served request; it fills in the service's name.
func (c *Client) Record(e Entry) {
	if c == nil {
		return
	}
	e.Service = c.service
	c.served.Add(1)
	select {
	case c.queue <- e:
	default:
		c.dropped.Add(1)
	}
}

// Counts says what became of the requests so far: served = sent + queued + dropped.
func (c *Client) Counts() (served, sent, dropped int64) {
	if c == nil {
		return 0, 0, 0
	}
	return c.served.Load(), c.sent.Load(), c.dropped.Load()
}

// Stop sends what is queued and ends. Record must not be called afterwards.
func (c *Client) Stop(ctx context.Context) {
	if c == nil {
		return
	}
	close(c.queue)
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	served, sent, dropped := c.Counts()
	slog.Info("request log ended", "served", served, "sent", sent, "dropped", dropped)
}

// run collects entries for at most batchPause and sends them.
func (c *Client) run() {
	defer close(c.done)
	ticker := time.NewTicker(batchPause)
	defer ticker.Stop()
	batch := make([]Entry, 0, batchSize)
	for {
		select {
		case e, open := <-c.queue:
			if !open {
				c.send(batch)
				return
			}
			if batch = append(batch, e); len(batch) == batchSize {
				c.send(batch)
				batch = batch[:0]
			}
		case <-ticker.C:
			c.send(batch)
			batch = batch[:0]
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
	request, err := http.NewRequest(http.MethodPost, c.url, bytes.NewReader(body))
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
