// Package requestlog sends what an API served to the API metrics logger beside it.
//
// It never slows or fails a request: Record puts an entry into a bounded queue,
// or counts it as dropped when the queue is full. At most a second later the
// entry is in a batch in the spill, files on disk, and from there the batches go
// to the logger in order, each under an id, so that the logger stores it once
// however often it is sent. Without a spill batches go to the logger at once,
// and what it does not take is dropped.
//
// At every moment each request is in one place: served = stored + spilled +
// queued + dropped.
package requestlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/datameesh/datameesh/services/internal/background"
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
	// Pauses between attempts to reach a logger that is away.
	minRetry, maxRetry = 50 * time.Millisecond, time.Second
	alarmPause         = 10 * time.Second
	defaultSpillBytes  = 256 << 20
	// A pause after a batch from the spill, in times of what storing it took. That takes
	// long when the machine is busy; then requests go first, and their entries wait.
	manners = 4
	// Entries give way no longer, neither by pauses nor at the logger, once they fill more than
	// this part of the spill: a quarter.
	patientPart = 4
)

// A Config says who sends to which logger.
type Config struct {
	Service string // name of the API
	URL     string // of the logger; empty: no request log
	Key     string // API key for the logger
	// SpillDir keeps what the logger does not take, for this process alone;
	// empty: nothing is kept.
	SpillDir   string
	SpillBytes int64 // what the spill may take; default 256 MiB
}

// A Client is the sending side. A nil Client records nothing.
type Client struct {
	Config
	pause time.Duration // at most, between an entry and its batch
	http  *http.Client
	spill *spill // nil: none

	complained bool // that the spill cannot be written

	wake     chan struct{} // a whole batch is queued
	filled   chan struct{} // the spill holds batches
	flushed  chan struct{} // closed when the queue is empty after Stop
	stop     chan struct{} // closed when Stop begins
	stopOnce sync.Once
	done     chan struct{} // closed when the last batch is through
	sending  context.Context
	abandon  context.CancelFunc // ends sending

	mu      sync.Mutex
	queue   [queueSize]Entry // a ring
	first   int              // place of the oldest entry in it
	idle    bool             // wants to be woken when a whole batch is queued
	stopped bool
	counts  Counts
}

// Counts says what became of the requests; Served is the sum of the others.
// With a spill all are totals since the spill was made, whichever process served.
type Counts struct {
	Served  int64 // requests recorded
	Stored  int64 // entries that the logger confirmed
	Spilled int64 // entries on disk, on their way to the logger
	Queued  int64 // entries in memory
	Dropped int64 // entries that nobody will see
}

// Start makes the client. Without a URL there is no request log and the client
// is nil. Its error says that the spill cannot be used.
func Start(config Config) (*Client, error) { return start(config, batchPause) }

func start(config Config, pause time.Duration) (*Client, error) {
	if config.URL == "" {
		return nil, nil
	}
	if config.SpillBytes == 0 {
		config.SpillBytes = defaultSpillBytes
	}
	c := &Client{
		Config:  config,
		pause:   pause,
		http:    &http.Client{Timeout: sendTimeout},
		idle:    true,
		wake:    make(chan struct{}, 1),
		filled:  make(chan struct{}, 1),
		flushed: make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if config.SpillDir != "" {
		spill, held, err := openSpill(config.SpillDir, config.SpillBytes)
		if err != nil {
			return nil, fmt.Errorf("SPILL_DIR: %w", err)
		}
		c.spill = spill
		c.resume(held)
	}
	c.sending, c.abandon = context.WithCancel(context.Background())
	go c.run()
	return c, nil
}

// resume takes up the counts of the process before. What it served and neither
// spilled nor sent was in its queue when it was killed.
func (c *Client) resume(held int64) {
	s := c.spill.state
	c.counts = Counts{
		Served:  s.get(counterServed),
		Stored:  s.get(counterAcked) - s.get(counterRefused) + s.get(counterDirectly),
		Spilled: held,
	}
	// A crash of the machine may have kept the spill and lost the last count.
	c.counts.Served = max(c.counts.Served, c.counts.Stored+c.counts.Spilled)
	c.counts.Dropped = c.counts.Served - c.counts.Stored - c.counts.Spilled
	s.set(counterServed, c.counts.Served)
	slog.Info("request log resumed", "counts", c.counts)
}

// Record takes an entry of a served request; it fills in the service's name, and
// the route and method of requests that have none to show. It never waits: what
// finds the queue full, or comes after Stop, is counted as dropped.
func (c *Client) Record(e Entry) {
	if c == nil {
		return
	}
	e.Service = c.Service
	e.Method = Method(e.Method)
	if e.Route == "" {
		e.Route = Unmatched
	}
	c.mu.Lock()
	c.counts.Served++
	if c.spill != nil && !c.stopped {
		c.spill.state.set(counterServed, c.counts.Served)
	}
	if c.stopped || c.counts.Queued == queueSize {
		c.counts.Dropped++
		c.mu.Unlock()
		return
	}
	c.queue[(c.first+int(c.counts.Queued))%queueSize] = e
	c.counts.Queued++
	wake := c.idle && c.counts.Queued >= batchSize
	if wake {
		c.idle = false
	}
	c.mu.Unlock()
	if wake {
		signal(c.wake)
	}
}

// signal tells whoever waits, or will wait next; it never waits itself.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // told already
	}
}

// Method gives one of the methods of HTTP (RFC 9110, RFC 5789), else Other. It
// gives a constant: the string of a request is a piece of its first line, which
// would stay in memory, path and all, for as long as the entry is queued.
func Method(given string) string {
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

// Counts gives the counts of one moment.
func (c *Client) Counts() Counts {
	if c == nil {
		return Counts{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Stop sends what is queued and ends. What is not sent when ctx ends, or after
// five seconds, stays in the spill for the next process; without a spill it is
// dropped.
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
	slog.Info("request log ended", "counts", c.Counts())
}

// run moves entries until Stop, and then those that are left.
func (c *Client) run() {
	defer close(c.done)
	defer c.abandon() // nothing is sent any more
	drained := make(chan struct{})
	if c.spill == nil {
		close(drained)
	} else {
		go func() {
			defer close(drained)
			c.drain()
		}()
	}
	c.collect()
	c.mu.Lock()
	c.stopped = true // from here on the queue only shrinks
	c.mu.Unlock()
	for c.move(1) {
	}
	close(c.flushed)
	<-drained
	for c.move(1) { // what found the spill full finds it drained, or is dropped
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Dropped += c.counts.Queued
	c.counts.Queued = 0
	if c.spill != nil {
		if err := c.spill.close(); err != nil {
			slog.Error("close the spill of the request log", "error", err)
		}
	}
}

// collect moves batches when they are complete, or after a pause, until Stop.
func (c *Client) collect() {
	ticker := time.NewTicker(c.pause)
	defer ticker.Stop()
	alarm := alarm{dropped: c.Counts().Dropped}
	for {
		select {
		case <-c.wake:
			for c.move(batchSize) {
			}
		case <-ticker.C:
			for c.move(1) {
			}
		case <-c.stop:
			return
		}
		alarm.look(c.Counts())
	}
}

// An alarm says that entries were dropped, at most once in a while.
type alarm struct {
	dropped int64
	last    time.Time
}

func (a *alarm) look(now Counts) {
	if now.Dropped == a.dropped || time.Since(a.last) < alarmPause {
		return
	}
	slog.Error("request log entries dropped", "entries", now.Dropped-a.dropped, "counts", now)
	a.last, a.dropped = time.Now(), now.Dropped
}

// move takes a batch out of the queue if at least so many entries are in it. It
// says whether to go on: not when the queue holds less or nobody takes a batch.
func (c *Client) move(least int64) bool {
	c.mu.Lock()
	c.idle = c.counts.Queued < least
	if c.idle || c.counts.Queued == 0 {
		c.mu.Unlock()
		return false
	}
	// They stay where they are until remove, so they can be read without the lock.
	oldest := c.queue[c.first:min(c.first+min(int(c.counts.Queued), batchSize), queueSize)]
	c.mu.Unlock()
	entries := len(oldest)
	body, err := json.Marshal(Batch{Entries: oldest})
	if err != nil { // of a time beyond the year 9999
		slog.Error("a batch of the request log cannot be written", "error", err)
		c.remove(entries, func(n int64) { c.counts.Dropped += n })
		return true
	}
	b := batch{id: newID(), entries: int64(entries), body: body}
	if c.spill != nil {
		if c.keep(b) {
			return true
		}
		c.mu.Lock()
		backlog := c.counts.Spilled > 0
		c.mu.Unlock()
		if backlog {
			return false // wait in the queue: order, and room when the logger is back
		}
	}
	err = c.post(b, false)
	if err != nil {
		slog.Warn("the logger did not take a batch", "entries", b.entries, "error", err)
	}
	c.remove(entries, func(n int64) {
		if err != nil {
			c.counts.Dropped += n
			return
		}
		c.counts.Stored += n
		if c.spill != nil {
			c.spill.state.set(counterDirectly, c.spill.state.get(counterDirectly)+n)
		}
	})
	return true
}

// remove takes the n oldest entries out of the queue and counts them elsewhere.
func (c *Client) remove(n int, count func(int64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.queue[c.first : c.first+n]) // their strings may go
	c.first = (c.first + n) % queueSize
	c.counts.Queued -= int64(n)
	count(int64(n))
}

// keep writes a batch of the oldest entries to the spill, or says that it cannot.
func (c *Client) keep(b batch) bool {
	c.mu.Lock()
	full := c.spill.bytes+headerSize+int64(len(b.body)) > c.spill.limit
	c.mu.Unlock()
	size, err := int64(0), errSpillFull
	if !full {
		size, err = c.spill.append(b)
	}
	if err != nil {
		c.complain(err)
		return false
	}
	c.complained = false
	c.remove(int(b.entries), func(n int64) {
		c.counts.Spilled += n
		c.spill.bytes += size
		c.spill.end = c.spill.write.at
	})
	signal(c.filled)
	return true
}

// complain says once that the spill cannot be written, until it can.
func (c *Client) complain(err error) {
	if !c.complained {
		slog.Error("the request log cannot be spilled; entries are dropped when the queue is full", "error", err)
	}
	c.complained = true
}

// drain sends the batches of the spill in order until Stop, and then until the
// spill is empty or the logger away.
func (c *Client) drain() {
	retry := minRetry
	for {
		begin := time.Now()
		sent, err := c.sendOldest()
		switch {
		case sent:
			retry = minRetry
			c.giveWay(manners * time.Since(begin))
			continue
		case err == nil: // nothing there
			select {
			case <-c.filled:
				continue
			case <-c.flushed:
			}
			if sent, err := c.sendOldest(); !sent {
				c.report(err)
				return
			}
			continue
		}
		if retry == minRetry {
			c.report(err)
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, maxRetry)
		case <-c.stop:
			return
		}
	}
}

// patient says whether what waits can wait for longer: not when the program wants to
// end or much waits.
func (c *Client) patient() bool {
	select {
	case <-c.stop:
		return false
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spill.bytes <= c.spill.limit/patientPart
}

// giveWay pauses while there is patience.
func (c *Client) giveWay(pause time.Duration) {
	if !c.patient() {
		return
	}
	select {
	case <-time.After(pause):
	case <-c.stop:
	}
}

func (c *Client) report(err error) {
	if err != nil {
		slog.Warn("the request log stays in the spill until the logger takes it", "error", err)
	}
}

// sendOldest sends the oldest batch of the spill, if any, and removes it when
// the logger has it or will never take it.
func (c *Client) sendOldest() (sent bool, err error) {
	s := c.spill
	c.mu.Lock()
	end := s.end
	empty := c.counts.Spilled == 0
	c.mu.Unlock()
	if empty {
		return false, nil
	}
	b, freed, err := s.oldest(end)
	c.mu.Lock()
	s.bytes -= freed
	c.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("read the spill: %w", err)
	}
	err = c.post(b, c.patient())
	var refusal *refusal
	if err != nil && !errors.As(err, &refusal) {
		return false, err
	}
	if refusal != nil {
		slog.Error("the logger will never take a batch of the request log; it is dropped", "entries", b.entries, "error", err)
	}
	s.advance()
	c.mu.Lock()
	defer c.mu.Unlock()
	// Entries that should stand before the batch and do not are lost.
	done := s.state.get(counterAcked)
	lost := max(b.through-b.entries-done, 0)
	stored := b.entries
	if refusal != nil {
		stored, lost = 0, lost+b.entries
	}
	c.counts.Spilled -= stored + lost
	c.counts.Stored += stored
	c.counts.Dropped += lost
	s.state.set(counterRefused, s.state.get(counterRefused)+lost)
	s.state.set(counterAcked, b.through)
	return true, nil
}

// A refusal is an answer that another attempt would get again.
type refusal struct{ status string }

func (r *refusal) Error() string { return "the logger answered " + r.status }

// post sends a batch; the logger may take its time for a patient one.
func (c *Client) post(b batch, patient bool) error {
	request, err := http.NewRequestWithContext(c.sending, http.MethodPost, c.URL+"/v1/logs", bytes.NewReader(b.body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.Key)
	request.Header.Set("Idempotency-Key", b.id)
	if patient {
		background.Ask(request.Header)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to the end below
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	switch response.StatusCode {
	case http.StatusAccepted:
		return nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &refusal{response.Status}
	}
	return fmt.Errorf("the logger answered %s", response.Status)
}
