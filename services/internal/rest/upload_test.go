package rest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/datameesh/datameesh/services/internal/conformance"
)

// A body may take longer than the server allows others, as long as it flows.
func TestAnUploadMovesTheDeadlinesOfItsConnection(t *testing.T) {
	r, err := NewRouter(Service{Keys: conformance.Keys(t, map[string][]string{"key": {"write"}}), OpenAPI: []byte("openapi: 3.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	r.Upload("/files", "write", 100, []string{"text/csv"}, func(c *gin.Context, u Upload) error {
		text, err := io.ReadAll(u.Body)
		if err == nil {
			c.String(http.StatusOK, "%s %s %s %s", u.Caller, u.Key, u.MediaType, text)
		}
		return err
	})
	server := httptest.NewUnstartedServer(r.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	server.Start()
	defer server.Close()
	send := func(parts ...string) (int, string) {
		t.Helper()
		reader, pipe := io.Pipe()
		go func() {
			for _, part := range parts {
				time.Sleep(server.Config.ReadTimeout) // a slow caller
				io.WriteString(pipe, part)            //nolint:errcheck // the answer tells
			}
			pipe.Close() //nolint:errcheck // never fails
		}()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/files", reader)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer key")
		request.Header.Set("Content-Type", "text/csv")
		request.Header.Set("Idempotency-Key", "k")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // read below
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	if status, text := send("a", "b", "c"); status != 200 || text != "key k text/csv abc" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := send(string(make([]byte, 101))); status != 413 {
		t.Errorf("too large: %d %s", status, text)
	}
}

// An upload that waits for its caller ends when the service stops; what was read
// before is kept by the handler, which sees the problem as the error of a read.
func TestAnUploadEndsWhenTheServiceStops(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	r, err := NewRouter(Service{Keys: conformance.Keys(t, map[string][]string{"key": {"write"}}), OpenAPI: []byte("openapi: 3.1.0"), Stopping: stopping})
	if err != nil {
		t.Fatal(err)
	}
	var kept []byte
	r.Upload("/files", "write", 100, []string{"text/csv"}, func(_ *gin.Context, u Upload) error {
		part := make([]byte, 10)
		for {
			n, err := u.Body.Read(part)
			kept = append(kept, part[:n]...)
			if err != nil {
				return err
			}
			stop()
		}
	})
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	reader, pipe := io.Pipe()
	go io.WriteString(pipe, "row\n") //nolint:errcheck // the answer tells
	defer pipe.Close()               //nolint:errcheck // never fails
	for _, body := range []io.Reader{reader, strings.NewReader("again\n")} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/files", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Authorization": {"Bearer key"}, "Content-Type": {"text/csv"}, "Idempotency-Key": {"k"}}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" || !strings.Contains(string(text), "stopping") {
			t.Errorf("%d %s %v", response.StatusCode, text, err)
		}
		_ = response.Body.Close()
	}
	if string(kept) != "row\n" {
		t.Errorf("kept %q", kept)
	}
}
