package trino

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/datameesh/datameesh/platform/secrets"
	"github.com/datameesh/datameesh/platform/state"
	"github.com/datameesh/datameesh/platform/topology"
)

// WorkerID names the nth worker, from 1, in system.runtime.nodes.
func WorkerID(n int) string { return fmt.Sprintf("worker-%d", n) }

// WorkerPort is the port of the nth worker, from 1.
func WorkerPort(m state.Mesh, n int) int { return m.Port(topology.PortTrinoWorker) + n - 1 }

// LocalWorker is Local for the nth worker, from 1.
func LocalWorker(d state.Dir, m state.Mesh, s *secrets.Store, n int) (cmd Command, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("configure Trino's %s: %w", WorkerID(n), err)
		}
	}()
	if m.Tools.Trino == "" || m.Tools.Java == "" {
		return Command{}, errNotFetched
	}
	id := WorkerID(n)
	etc := filepath.Join(d.Trino(), id, "etc")
	version, err := WriteWorkerFiles(etc, m.Lake(), m.Sources)
	if err != nil {
		return Command{}, err
	}
	cmd, err = node(m, s, etc, filepath.Join(d.Trino(), id, "data"), id, WorkerPort(m, n))
	cmd.Version = version
	return cmd, err
}

// Leave asks the worker at address (host:port) to finish its tasks, take no new
// ones and end. It returns when the worker has agreed. Nobody but a node of the
// same Trino may ask that, so the request is signed as one of a node.
func Leave(ctx context.Context, address, sharedSecret string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+address+"/v1/info/state", strings.NewReader(`"SHUTTING_DOWN"`))
	if err != nil {
		return fmt.Errorf("ask Trino's worker to leave: %w", err)
	}
	token, err := internalToken(sharedSecret, time.Now())
	if err != nil {
		return fmt.Errorf("ask Trino's worker to leave: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Trino-Internal-Bearer", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask Trino's worker to leave: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("ask Trino's worker to leave: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask Trino's worker to leave: it answers %s %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// internalToken is what Trino's nodes show each other: a JWT whose key is the
// hash of the shared secret.
func internalToken(sharedSecret string, now time.Time) (string, error) {
	part := func(v any) (string, error) {
		b, err := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b), err
	}
	header, err := part(map[string]string{"alg": "HS256"})
	if err != nil {
		return "", err
	}
	claims, err := part(map[string]any{"sub": "meesh", "exp": now.Add(time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(sharedSecret))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(header + "." + claims))
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
