package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// run starts a server on a free port and gives its URL, a function that stops
// it and the error that Run returned.
func run(t *testing.T, s Server) (url string, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	url = "http://" + s.Addr
	waitFor(t, func() bool { status, _ := get(url + "/livez"); return status == 200 })
	return url, cancel, done
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("waited for ten seconds in vain")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func get(url string) (status int, body string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

type toldError string

func (e toldError) Error() string   { return "secret" }
func (e toldError) Explain() string { return string(e) }

func TestHealth(t *testing.T) {
	var broken, explained atomic.Bool
	url, _, _ := run(t, Server{
		Handler: http.NotFoundHandler(),
		Checks: []Check{{"postgres", func(context.Context) error {
			switch {
			case explained.Load():
				return fmt.Errorf("secret: %w", toldError("run: sales-migrate up"))
			case broken.Load():
				return errors.New("dial tcp: secret")
			}
			return nil
		}}},
	})
	if status, body := get(url + "/readyz"); status != 200 || body != "ok\n" {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := get(url + "/readyz?verbose"); status != 200 || body != "[+]running ok\n[+]postgres ok\n" {
		t.Errorf("ready: %d %s", status, body)
	}
	broken.Store(true)
	if status, body := get(url + "/readyz"); status != 503 || body != "[+]running ok\n[-]postgres failed\n" {
		t.Errorf("not ready: %d %s", status, body)
	}
	explained.Store(true)
	if status, body := get(url + "/readyz?verbose"); status != 503 || body != "[+]running ok\n[-]postgres failed: run: sales-migrate up\n" {
		t.Errorf("not ready, with a reason: %d %s", status, body)
	}
	if status, _ := get(url + "/livez"); status != 200 {
		t.Errorf("alive while not ready: %d", status)
	}
}

func TestARunningRequestEndsBeforeTheServer(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	url, stop, ended := run(t, Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-release
			io.WriteString(w, "done") //nolint:errcheck // the test reads it
		}),
	})
	answered := make(chan string, 1)
	go func() { _, body := get(url + "/slow"); answered <- body }()
	<-begun
	stop()
	waitFor(t, func() bool { status, _ := get(url + "/livez"); return status == 0 })
	select {
	case err := <-ended:
		t.Fatalf("the server ended under a running request: %v", err)
	default:
	}
	close(release)
	if body := <-answered; body != "done" {
		t.Errorf("the running request was answered %q", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestReadyTurnsOffDuringDrain(t *testing.T) {
	url, stop, ended := run(t, Server{Handler: http.NotFoundHandler(), Drain: 2 * time.Second})
	stop()
	waitFor(t, func() bool {
		status, body := get(url + "/readyz")
		if status == 0 {
			t.Fatalf("it ended before it was seen to be not ready: %s", body)
		}
		return status == http.StatusServiceUnavailable
	})
	if status, body := get(url + "/v1/things"); status != http.StatusNotFound {
		t.Errorf("a request meanwhile: %d %s", status, body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Who sends half a header loses the connection after a while; others are served.
func TestASlowClientIsClosed(t *testing.T) {
	t.Parallel()
	url, _, _ := run(t, Server{Handler: http.NotFoundHandler()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(url + "/livez"); status != http.StatusOK {
		t.Errorf("others meanwhile: %d", status)
	}
	answer, err := io.ReadAll(conn)
	if took := time.Since(begin); err != nil || took < readHeaderTimeout/2 {
		t.Errorf("after %s: %q, %v", took, answer, err)
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := (Server{Addr: listener.Addr().String()}).Run(t.Context()); err == nil {
		t.Error("no error")
	}
}
