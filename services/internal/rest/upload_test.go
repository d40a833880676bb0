package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
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
