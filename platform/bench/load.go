package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A load is requests to one server over connections that are kept. The client
// knows as much of HTTP/1.1 as it needs: it shares two processors with what it
// measures.
type load struct {
	addr        string
	connections int
	requests    [][]byte // sent in turn
	status      string   // that each answer must have: "200"
}

// An outcome is what came of a load.
type outcome struct {
	requests  int
	took      time.Duration
	latencies []time.Duration // sorted
}

func (o outcome) rate() float64 { return float64(o.requests) / o.took.Seconds() }

func (o outcome) quantile(q float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[int(q*float64(len(o.latencies)-1))]
}

// request writes one request.
func request(method, path, key string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path)
	if key != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", key)
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// closed sends for the time, each connection one request after the other.
func (l load) closed(ctx context.Context, length time.Duration) (outcome, error) {
	connections, err := l.connect(ctx, l.connections)
	if err != nil {
		return outcome{}, err
	}
	defer closeAll(connections)
	var turn atomic.Int64
	begin := time.Now()
	end := begin.Add(length)
	return l.collect(connections, begin, func(c *connection) error {
		for now := time.Now(); now.Before(end); {
			if err := c.do(l.requests[int(turn.Add(1))%len(l.requests)], l.status); err != nil {
				return err
			}
			after := time.Now()
			c.latencies = append(c.latencies, after.Sub(now))
			now = after
		}
		return ctx.Err()
	})
}

// open sends at the rate, whether or not earlier requests were answered: who
// comes by does not wait until others were served. A latency begins when its
// request is due.
func (l load) open(ctx context.Context, rate float64, length time.Duration) (outcome, error) {
	connections, err := l.connect(ctx, l.connections)
	if err != nil {
		return outcome{}, err
	}
	defer closeAll(connections)
	due := make(chan time.Time, int(rate)) // a second's worth may wait
	begin := time.Now()
	go func() {
		defer close(due)
		for n := 0; ; n++ {
			at := begin.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			if at.Sub(begin) >= length || ctx.Err() != nil {
				return
			}
			time.Sleep(time.Until(at))
			// A timer that comes late is the client's fault, not the server's.
			if late := time.Now(); late.Sub(at) < time.Millisecond {
				at = late
			}
			due <- at
		}
	}()
	var turn atomic.Int64
	return l.collect(connections, begin, func(c *connection) error {
		for at := range due {
			if err := c.do(l.requests[int(turn.Add(1))%len(l.requests)], l.status); err != nil {
				return err
			}
			c.latencies = append(c.latencies, time.Since(at))
		}
		return ctx.Err()
	})
}

func (l load) collect(connections []*connection, begin time.Time, work func(*connection) error) (outcome, error) {
	errs := make([]error, len(connections))
	var workers sync.WaitGroup
	for i, c := range connections {
		workers.Go(func() { errs[i] = work(c) })
	}
	workers.Wait()
	o := outcome{took: time.Since(begin)}
	for _, c := range connections {
		o.latencies = append(o.latencies, c.latencies...)
	}
	o.requests = len(o.latencies)
	slices.Sort(o.latencies)
	return o, errors.Join(errs...)
}

// maxRun bounds a load, so that a server that hangs does not hang the benchmark.
const maxRun = 2 * time.Minute

// A connection is one client.
type connection struct {
	addr      string
	conn      net.Conn
	read      *bufio.Reader
	latencies []time.Duration
}

func (l load) connect(ctx context.Context, n int) ([]*connection, error) {
	var list []*connection
	for range n {
		c := &connection{addr: l.addr}
		if err := c.dial(ctx); err != nil {
			closeAll(list)
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func (c *connection) dial(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn, c.read = conn, bufio.NewReaderSize(conn, 32<<10)
	return conn.SetDeadline(time.Now().Add(maxRun))
}

func closeAll(list []*connection) {
	for _, c := range list {
		_ = c.conn.Close() // it is given up
	}
}

var (
	contentLength    = []byte("content-length:")
	transferEncoding = []byte("transfer-encoding:")
	connectionHeader = []byte("connection:")
)

// do sends one request and reads the answer, which must have the status.
func (c *connection) do(request []byte, status string) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	line, err := c.read.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(line) < 12 || string(line[9:12]) != status {
		rest := make([]byte, 2000)
		n, _ := c.read.Read(rest) //nolint:errcheck // only to be shown
		return fmt.Errorf("the answer is %q, want status %s: %s", line, status, rest[:n])
	}
	length, chunked, closes := 0, false, false
	for {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read the header: %w", err)
		}
		if len(line) <= 2 {
			break
		}
		switch {
		case hasPrefixFold(line, contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		case hasPrefixFold(line, transferEncoding):
			chunked = true
		case hasPrefixFold(line, connectionHeader):
			closes = bytes.Contains(bytes.ToLower(line), []byte("close"))
		}
	}
	if chunked {
		err = c.discardChunks()
	} else {
		_, err = c.read.Discard(length)
	}
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if closes {
		_ = c.conn.Close() // the server has
		return c.dial(context.Background())
	}
	return nil
}

func (c *connection) discardChunks() error {
	for {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := c.read.Discard(int(size) + 2); err != nil || size == 0 {
			return err
		}
	}
}

func hasPrefixFold(line, prefix []byte) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], prefix)
}
