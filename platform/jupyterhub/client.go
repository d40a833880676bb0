package jupyterhub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// A Client works in JupyterHub as one person, over its page and its interface.
type Client struct {
	URL    string // "http://localhost:30080"
	Person string

	token string
	http  *http.Client
}

// A StatusError is an answer of the hub, or of a person's server, that says no.
type StatusError struct {
	Asked   string // method and path
	Code    int
	Message string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.Asked, e.Code, http.StatusText(e.Code))
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// ErrRefused tells that the name and the password do not belong together.
var ErrRefused = errors.New("JupyterHub refuses the name or the password")

// maxAnswer is what one answer may hold; a notebook with its plots is the largest.
const maxAnswer = 64 << 20

// Login logs in by the form, as a person does in a browser. ErrRefused for a wrong
// password, *StatusError with 429 after many of them.
func Login(ctx context.Context, address, person, password string) (*Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	// No proxy: the hub is on this machine. Answers are looked at, not followed.
	c := &Client{URL: strings.TrimRight(address, "/"), Person: person, http: &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if _, err := c.form(ctx, http.MethodGet, "/hub/login", nil); err != nil {
		return nil, fmt.Errorf("log in to JupyterHub: %w", err)
	}
	status, err := c.form(ctx, http.MethodPost, "/hub/login", url.Values{"username": {person}, "password": {password}})
	switch {
	case err != nil:
		return nil, fmt.Errorf("log in to JupyterHub: %w", err)
	case status == http.StatusForbidden:
		return nil, fmt.Errorf("log in to JupyterHub as %s: %w", person, ErrRefused)
	case status != http.StatusFound:
		return nil, fmt.Errorf("log in to JupyterHub as %s: %w", person, &StatusError{"POST /hub/login", status, ""})
	}
	// The page leads on to the person's own; that also brings a fresh cookie
	// against forged requests.
	if _, err := c.form(ctx, http.MethodGet, "/hub/home", nil); err != nil {
		return nil, fmt.Errorf("log in to JupyterHub: %w", err)
	}
	var made struct{ Token string }
	if err := c.Call(ctx, http.MethodPost, "/hub/api/users/"+person+"/tokens?_xsrf="+url.QueryEscape(c.xsrf()),
		map[string]any{"note": "meesh", "expires_in": int(time.Hour.Seconds())}, &made); err != nil {
		return nil, fmt.Errorf("log in to JupyterHub: %w", err)
	}
	c.token = made.Token
	return c, nil
}

// form asks a page with the cookies of the log-in.
func (c *Client) form(ctx context.Context, method, path string, values url.Values) (status int, err error) {
	if values != nil {
		values.Set("_xsrf", c.xsrf())
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, strings.NewReader(values.Encode()))
	if err != nil {
		return 0, err
	}
	if values != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusInternalServerError {
		return resp.StatusCode, &StatusError{method + " " + path, resp.StatusCode, ""}
	}
	return resp.StatusCode, nil
}

// LoggedIn tells whether the cookies of the log-in still open the hub's page.
func (c *Client) LoggedIn(ctx context.Context) (bool, error) {
	status, err := c.form(ctx, http.MethodGet, "/hub/home", nil)
	return status == http.StatusOK, err
}

func (c *Client) xsrf() string {
	u, err := url.Parse(c.URL + "/hub/")
	if err != nil {
		return ""
	}
	for _, cookie := range c.http.Jar.Cookies(u) {
		if cookie.Name == "_xsrf" {
			return cookie.Value
		}
	}
	return ""
}

// Call asks the hub's interface (/hub/api/…) or that of the person's server
// (/user/NAME/api/…). in is sent and out read as JSON, unless nil. *StatusError
// for an answer that says no.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.ask(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "token "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil {
		said.Message = ""
	}
	asked, _, _ := strings.Cut(method+" "+path, "?")
	return nil, &StatusError{asked, resp.StatusCode, said.Message}
}

func (c *Client) server() string { return "/hub/api/users/" + c.Person + "/server" }

// Start starts the person's server unless it runs, and waits until it is ready.
func (c *Client) Start(ctx context.Context) error {
	err := c.Call(ctx, http.MethodPost, c.server(), nil, nil)
	if said, ok := errors.AsType[*StatusError](err); ok && said.Code == http.StatusBadRequest {
		return nil // it runs
	}
	if err != nil {
		return fmt.Errorf("start the notebook server of %s: %w", c.Person, err)
	}
	// Ready or not yet: the progress tells, line by line, and ends with either.
	resp, err := c.ask(ctx, http.MethodGet, c.server()+"/progress", nil)
	if err != nil {
		return fmt.Errorf("start the notebook server of %s: %w", c.Person, err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var said struct {
			Ready, Failed bool
			Message       string
		}
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			return fmt.Errorf("start the notebook server of %s: %w", c.Person, err)
		}
		switch {
		case said.Failed:
			return fmt.Errorf("start the notebook server of %s: %s", c.Person, said.Message)
		case said.Ready:
			return nil
		}
	}
	return fmt.Errorf("start the notebook server of %s: the hub says neither that it is ready nor that it failed (%w)", c.Person, errors.Join(lines.Err(), io.ErrUnexpectedEOF))
}

// Stop ends the person's server.
func (c *Client) Stop(ctx context.Context) error {
	err := c.Call(ctx, http.MethodDelete, c.server(), nil, nil)
	if err != nil {
		return fmt.Errorf("stop the notebook server of %s: %w", c.Person, err)
	}
	return nil
}

func (c *Client) contents(path string) string {
	return "/user/" + c.Person + "/api/contents/" + (&url.URL{Path: path}).EscapedPath()
}

// Notebook reads a notebook of the person's server.
func (c *Client) Notebook(ctx context.Context, path string) (Notebook, error) {
	var file struct {
		Content  Notebook `json:"content"`
		Writable bool     `json:"writable"`
	}
	err := c.Call(ctx, http.MethodGet, c.contents(path), nil, &file)
	file.Content.Writable = file.Writable
	return file.Content, err
}

// Save writes a notebook.
func (c *Client) Save(ctx context.Context, path string, n Notebook) error {
	return c.Call(ctx, http.MethodPut, c.contents(path), map[string]any{"type": "notebook", "content": n}, nil)
}
