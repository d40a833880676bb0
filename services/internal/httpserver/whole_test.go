package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sized answers ?size=N with N bytes.
func sized(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Query().Get("size"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = w.Write(bytes.Repeat([]byte("x"), size)) // the client says what is missing
}

// Answers of every length around net/http's buffer come whole and at once, one after
// the other on a connection, before a request that is there already, and before the
// connection is closed.
func TestAnswersOfEveryLengthAreWhole(t *testing.T) {
	url, _, _ := run(t, Server{Handler: http.HandlerFunc(sized)})
	addr := strings.TrimPrefix(url, "http://")
	for name, ask := range map[string]func(size int) string{
		"kept": func(size int) string { return fmt.Sprintf("GET /?size=%d HTTP/1.1\r\nHost: a\r\n\r\n", size) },
		"pipelined": func(size int) string {
			return strings.Repeat(fmt.Sprintf("GET /?size=%d HTTP/1.1\r\nHost: a\r\n\r\n", size), 2)
		},
		"closed": func(size int) string {
			return fmt.Sprintf("GET /?size=%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", size)
		},
	} {
		conn, read := dial(t, addr)
		exact := false // an answer, with its header, was as long as the buffer
		for size := buffer - 300; size <= buffer+20; size++ {
			request := ask(size)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatalf("%s, %d bytes: %v", name, size, err)
			}
			for range strings.Count(request, "GET") {
				response, err := http.ReadResponse(read, nil)
				if err != nil {
					t.Fatalf("%s, %d bytes: %v", name, size, err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || len(body) != size {
					t.Fatalf("%s: %d of %d bytes, error %v", name, len(body), size, err)
				}
				exact = exact || size < buffer && headerLength(response)+size == buffer
			}
			if name == "closed" {
				conn.Close()
				conn, read = dial(t, addr)
			}
		}
		if !exact {
			t.Errorf("%s: no answer is exactly as long as the buffer", name)
		}
	}
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// headerLength is the length of status line and header as the server wrote them.
func headerLength(r *http.Response) int {
	length := len("HTTP/1.1 200 OK\r\n") + len("\r\n") + len("Content-Length: ") + len(fmt.Sprint(r.ContentLength)) + len("\r\n")
	if r.Close {
		length += len("Connection: close\r\n")
	}
	for name, values := range r.Header {
		if name == "Content-Length" || name == "Connection" {
			continue
		}
		length += len(name) + len(": ") + len(values[0]) + len("\r\n")
	}
	return length
}

// A countingConn counts the writes that reach the machine.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return countingConn{conn, l.writes}, err
}

// The first buffer does not go out before the rest is there.
func TestAnswerBeginsWhenItsRestIsThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	written := make(chan int64, 1)
	s := server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, buffer/2))
		_, _ = w.Write(make([]byte, buffer))
		written <- writes.Load()
	}))
	go s.Serve(wholeListener{countingListener{listener, &writes}}) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(t.Context())) })
	response, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || len(body) != buffer/2+buffer {
		t.Errorf("%d bytes, error %v", len(body), err)
	}
	if before := <-written; before != 0 {
		t.Errorf("%d writes before the answer was complete", before)
	}
}
