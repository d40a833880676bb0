// Package apikey checks the bearer keys of the HTTP services.
package apikey

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/datameesh/datameesh/services/internal/problem"
)

// recheck is how often, at most, the file is looked at for changes.
const recheck = time.Second

// A Key is one entry of the file: never the key itself, only its hash.
type Key struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"` // hex of the SHA-256 of the key; keys have 256 random bits, so no salt is needed
	Scopes []string `json:"scopes"`
	// NotAfter ends a key that was rotated: until then the old and the new one
	// both open. Zero: no end.
	NotAfter time.Time `json:"not_after,omitzero"`
}

// A Ring is the set of keys that a service accepts. It lives in a file, not in
// the database, so that a stopped database stops no authentication; a changed
// file is read again without a restart.
type Ring struct {
	path string

	mu      sync.Mutex
	keys    []Key
	hashes  [][sha256.Size]byte
	checked time.Time
	stamp   fileStamp
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// Open reads the key file: JSON {"keys":[{"name","sha256","scopes"}]}.
func Open(path string) (*Ring, error) {
	r := &Ring{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("API_KEYS_FILE: %w", err)
	}
	if err := r.load(info); err != nil {
		return nil, fmt.Errorf("API_KEYS_FILE: %w", err)
	}
	r.checked = time.Now()
	return r, nil
}

// Authorize gives the name of the key that the request carries. It answers 401
// without a valid key and 403 when the key lacks the scope.
func (r *Ring) Authorize(request *http.Request, scope string) (name string, err error) {
	const realm = `Bearer realm="datameesh"`
	given, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok || given == "" {
		p := problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "Send an API key: Authorization: Bearer KEY. `meesh credentials` lists the keys.")
		p.Challenge = realm
		return "", p
	}
	key, ok := r.find(given)
	if !ok {
		p := problem.New(http.StatusUnauthorized, problem.CodeUnauthenticated, "The API key is not known to this service.")
		p.Challenge = realm + `, error="invalid_token"`
		return "", p
	}
	if !slices.Contains(key.Scopes, scope) {
		p := problem.New(http.StatusForbidden, problem.CodeForbidden, "The API key %s lacks the scope %s.", key.Name, scope)
		p.Challenge = realm + `, error="insufficient_scope", scope="` + scope + `"`
		return key.Name, p
	}
	return key.Name, nil
}

// find compares with every key in constant time, so that the time of an answer
// says nothing about how much of a key was right.
func (r *Ring) find(given string) (Key, bool) {
	hash := sha256.Sum256([]byte(given))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	found := -1
	for i := range r.hashes {
		if subtle.ConstantTimeCompare(hash[:], r.hashes[i][:]) == 1 {
			found = i
		}
	}
	if found < 0 || !r.keys[found].NotAfter.IsZero() && time.Now().After(r.keys[found].NotAfter) {
		return Key{}, false
	}
	return r.keys[found], true
}

// refresh reads a changed file again. A file that is gone or broken leaves the
// keys of before in force and is reported in the log.
func (r *Ring) refresh() {
	if time.Since(r.checked) < recheck {
		return
	}
	r.checked = time.Now()
	info, err := os.Stat(r.path)
	if err == nil && r.stamp == (fileStamp{info.ModTime(), info.Size()}) {
		return
	}
	if err == nil {
		err = r.load(info)
	}
	if err != nil {
		slog.Error("cannot read the API keys again; the keys of before stay in force", "error", err)
		return
	}
	slog.Info("API keys read again", "keys", len(r.keys))
}

func (r *Ring) load(info os.FileInfo) error {
	text, err := os.ReadFile(r.path)
	if err != nil {
		return err
	}
	var file struct {
		Keys []Key `json:"keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	hashes := make([][sha256.Size]byte, len(file.Keys))
	for i, key := range file.Keys {
		raw, err := hex.DecodeString(key.SHA256)
		if err != nil || len(raw) != sha256.Size || key.Name == "" {
			return fmt.Errorf("%s: key %d (%q) needs a name and the 64 hex digits of a SHA-256", r.path, i+1, key.Name)
		}
		hashes[i] = [sha256.Size]byte(raw)
	}
	r.keys, r.hashes = file.Keys, hashes
	r.stamp = fileStamp{info.ModTime(), info.Size()}
	return nil
}
