package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Client sends events to mesh-audit.
type Client struct {
	URL   string // of mesh-audit: http://127.0.0.1:30887
	Token string
}

// Names of the environment variables that say where events go.
const (
	URLVariable   = "AUDIT_URL"
	TokenVariable = "AUDIT_TOKEN"
)

// Send sends events. It tries again for a few seconds, since mesh-audit may
// just be starting; an error means that they are not in the record.
func (c Client) Send(ctx context.Context, events ...Event) error {
	body, err := json.Marshal(events)
	if err != nil {
		return fmt.Errorf("send to the audit record: %w", err)
	}
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		again, err := c.post(ctx, body)
		if err == nil {
			return nil
		}
		if !again || pause > time.Second {
			return fmt.Errorf("send to the audit record: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("send to the audit record: %w", err)
		}
	}
}

func (c Client) post(ctx context.Context, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return false, nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return true, err
	}
	return resp.StatusCode >= 500, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
}
