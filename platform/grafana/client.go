package grafana

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// A Client asks Grafana's HTTP interface as one person.
type Client struct {
	URL      string // "http://127.0.0.1:30030"
	Login    string // empty to log in as nobody
	Password string
}

// A StatusError is an answer with another status than 2xx.
type StatusError struct {
	Method, Path string
	Status       int
	Text         string // body
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("Grafana answers %d to %s %s: %s", e.Status, e.Method, e.Path, e.Text)
}

// Do sends body as JSON, unless it is nil, and reads the answer into answer, unless
// that is nil. An answer that is no success is a *StatusError.
func (c Client) Do(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("ask Grafana: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, content)
	if err != nil {
		return fmt.Errorf("ask Grafana: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Login != "" {
		req.SetBasicAuth(c.Login, c.Password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask Grafana: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask Grafana: %s %s: %w", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &StatusError{method, path, resp.StatusCode, string(bytes.TrimSpace(text[:min(len(text), 500)]))}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("ask Grafana: %s %s: %w", method, path, err)
	}
	return nil
}
