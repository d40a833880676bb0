package simulation

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors of a request that was answered.
var (
	// ErrConflict: what the request was about is no longer as it was (404, 409).
	ErrConflict    = errors.New("it has changed meanwhile")
	errRefusedKey  = errors.New("the API refuses API_KEY")
	requestTimeout = 10 * time.Second
)

// Waits between two attempts when the API does not say how long.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 10 * time.Second
	// maxReported bounds what is written about failed requests; all are counted.
	maxReported = 10
)

// An API is the API that the script drives. It is for one goroutine.
type API struct {
	program, url, key string
	run               string // makes the Idempotency-Keys of this run its own
	http              *http.Client
	stderr            io.Writer
	began             time.Time

	sent    int            // requests, without repetitions
	answers int            // answers that were no 503
	done    map[string]int // by what was done
	waits   int            // repetitions after 429, 503 or no answer
	failed  int
}

func newAPI(program, url, key string, stderr io.Writer) *API {
	return &API{
		program: program, url: strings.TrimSuffix(url, "/"), key: key, run: rand.Text(),
		http: &http.Client{Timeout: requestTimeout}, stderr: stderr,
		began: time.Now(), done: map[string]int{},
	}
}

// Get reads the JSON at path.
func (a *API) Get(ctx context.Context, path string, into any) error {
	return a.send(ctx, http.MethodGet, path, nil, into)
}

// Post sends body to path and counts it under what ("orders") when it is done. The
// answer goes to into, unless that is nil.
func (a *API) Post(ctx context.Context, what, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := a.send(ctx, http.MethodPost, path, text, into); err != nil {
		return err
	}
	a.done[what]++
	return nil
}

// send sends a request, again and again while the API is busy or away. The
// Idempotency-Key stays the same, so that nothing is done twice.
func (a *API) send(ctx context.Context, method, path string, body []byte, into any) error {
	a.sent++
	key := fmt.Sprintf("%s-%d", a.run, a.sent)
	wait := firstWait
	for told := false; ; {
		answer, err := a.once(ctx, method, path, key, body)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		why := ""
		pause := wait
		switch {
		case err != nil:
			why = err.Error()
		case answer.status == http.StatusTooManyRequests, answer.status == http.StatusServiceUnavailable:
			why = "the API answers " + strconv.Itoa(answer.status)
			if answer.retryAfter > 0 {
				pause = min(answer.retryAfter, maxWait)
			}
		default:
			a.answers++
			return answer.result(method, path, into)
		}
		if wait > time.Second && !told {
			told = true
			fmt.Fprintf(a.stderr, "%s: waiting: %s\n", a.program, why)
		}
		a.waits++
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		wait = min(2*wait, maxWait)
	}
}

type answer struct {
	status     int
	retryAfter time.Duration
	text       []byte
}

func (a *API) once(ctx context.Context, method, path, key string, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+a.key)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		seconds = 0 // absent, or a date
	}
	return answer{response.StatusCode, time.Duration(seconds) * time.Second, text}, nil
}

func (r answer) result(method, path string, into any) error {
	switch {
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return fmt.Errorf("%w: %s %s: %d %s", errRefusedKey, method, path, r.status, r.text)
	case r.status == http.StatusNotFound, r.status == http.StatusConflict:
		return fmt.Errorf("%s %s: %w: %d %s", method, path, ErrConflict, r.status, r.text)
	case r.status >= 300:
		return fmt.Errorf("%s %s: %d %s", method, path, r.status, r.text)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(r.text, into); err != nil {
		return fmt.Errorf("%s %s: the answer is not what was expected: %w", method, path, err)
	}
	return nil
}

// report counts a failed request and tells of the first ones.
func (a *API) report(err error) {
	a.failed++
	switch {
	case a.failed <= maxReported:
		fmt.Fprintf(a.stderr, "%s: %v\n", a.program, err)
	case a.failed == maxReported+1:
		fmt.Fprintf(a.stderr, "%s: further failures are only counted\n", a.program)
	}
}

// summary is the last line of a run.
func (a *API) summary(w io.Writer) {
	var did []string
	total := 0
	for what, n := range a.done {
		did = append(did, fmt.Sprintf("%d %s", n, what))
		total += n
	}
	slices.Sort(did)
	took := time.Since(a.began)
	fmt.Fprintf(w, "%s: %d requests in %v (%.1f/s): %s; %d repeated, %d failed\n",
		a.program, a.sent, took.Round(time.Second), float64(a.sent)/took.Seconds(), orNothing(strings.Join(did, ", ")), a.waits, a.failed)
}

func orNothing(s string) string {
	if s == "" {
		return "nothing written"
	}
	return s
}
