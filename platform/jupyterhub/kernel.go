package jupyterhub

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A Kernel of a person's server, to run code in.
type Kernel struct {
	ID     string
	client *Client
	conn   *websocket.Conn
}

// Kernel starts a kernel that works in the folder of the notebook path.
func (c *Client) Kernel(ctx context.Context, path string) (*Kernel, error) {
	var made struct{ ID string }
	if err := c.Call(ctx, http.MethodPost, "/user/"+c.Person+"/api/kernels", map[string]string{"name": "python3", "path": path}, &made); err != nil {
		return nil, fmt.Errorf("start a kernel: %w", err)
	}
	k := &Kernel{ID: made.ID, client: c}
	return k, k.connect(ctx)
}

func (k *Kernel) path() string { return "/user/" + k.client.Person + "/api/kernels/" + k.ID }

// connect opens the channels; again when they were cut off, as by a restart of
// the proxy.
func (k *Kernel) connect(ctx context.Context) error {
	if k.conn != nil {
		_ = k.conn.CloseNow()
	}
	address := "ws" + strings.TrimPrefix(k.client.URL, "http") + k.path() + "/channels"
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: k.client.http,
		HTTPHeader: http.Header{"Authorization": {"token " + k.client.token}},
	})
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return fmt.Errorf("connect to the kernel: %w", err)
	}
	conn.SetReadLimit(maxAnswer)
	k.conn = conn
	return nil
}

// Reconnect opens the channels of the same kernel again.
func (k *Kernel) Reconnect(ctx context.Context) error { return k.connect(ctx) }

// Close ends the kernel.
func (k *Kernel) Close(ctx context.Context) error {
	_ = k.conn.CloseNow()
	return k.client.Call(ctx, http.MethodDelete, k.path(), nil, nil)
}

// A message of the kernel's protocol.
type message struct {
	Channel string         `json:"channel"`
	Header  header         `json:"header"`
	Parent  header         `json:"parent_header"`
	Meta    map[string]any `json:"metadata"`
	Content any            `json:"content"`
}

type header struct {
	ID      string `json:"msg_id,omitempty"`
	Type    string `json:"msg_type,omitempty"`
	User    string `json:"username,omitempty"`
	Session string `json:"session,omitempty"`
	Version string `json:"version,omitempty"`
}

// ErrKernelDied tells that the kernel ended while it ran a cell; the server starts
// it again, empty.
var ErrKernelDied = errors.New("the kernel died; JupyterLab starts it again, and what was in its memory is gone")

// Run runs code and returns what it put out. *CellError when it raised something.
func (k *Kernel) Run(ctx context.Context, code string) ([]Output, error) {
	id := rand.Text()
	request := message{
		Channel: "shell",
		Header:  header{ID: id, Type: "execute_request", User: k.client.Person, Session: "meesh", Version: "5.3"},
		Meta:    map[string]any{},
		Content: map[string]any{
			"code": code, "silent": false, "store_history": false, "user_expressions": map[string]any{},
			"allow_stdin": false, "stop_on_error": true,
		},
	}
	if err := wsjson.Write(ctx, k.conn, request); err != nil {
		return nil, fmt.Errorf("run a cell: %w", err)
	}
	var outputs []Output
	var failed *CellError
	for replied, idle := false, false; !replied || !idle; {
		var m struct {
			Header  header          `json:"header"`
			Parent  header          `json:"parent_header"`
			Content json.RawMessage `json:"content"`
		}
		if err := wsjson.Read(ctx, k.conn, &m); err != nil {
			return outputs, fmt.Errorf("run a cell: %w", err)
		}
		var said struct {
			Output
			State string `json:"execution_state"`
		}
		if err := json.Unmarshal(m.Content, &said); err != nil {
			return outputs, fmt.Errorf("run a cell: %s: %w", m.Header.Type, err)
		}
		// What the server itself tells of a kernel that ended has no parent.
		if m.Header.Type == "status" && (said.State == "restarting" || said.State == "dead" || said.State == "autorestarting") {
			return outputs, ErrKernelDied
		}
		if m.Parent.ID != id {
			continue
		}
		switch said.Type = m.Header.Type; said.Type {
		case "status":
			idle = idle || said.State == "idle"
		case "execute_reply":
			replied = true
		case "error":
			failed = &CellError{said.ErrorName, said.Error}
			outputs = append(outputs, said.Output)
		case "stream", "display_data", "execute_result":
			outputs = append(outputs, said.Output)
		}
	}
	if failed != nil {
		return outputs, failed
	}
	return outputs, nil
}

// Execute runs all code cells of a notebook in their order, each with what it put
// out, and stops at the first that raises something.
func (k *Kernel) Execute(ctx context.Context, n *Notebook) error {
	count := 0
	for i := range n.Cells {
		c := &n.Cells[i]
		if c.Type != "code" {
			continue
		}
		count++
		number := count
		outputs, err := k.Run(ctx, string(c.Source))
		c.Outputs, c.Count = outputs, &number
		if err != nil {
			return fmt.Errorf("cell %d (%s): %w", i+1, c.ID, err)
		}
	}
	return nil
}
