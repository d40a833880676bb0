package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/datameesh/datameesh/services/internal/problem"
)

func write(t *testing.T, path string, keys map[string][]string) {
	t.Helper()
	var file struct {
		Keys []Key `json:"keys"`
	}
	for key, scopes := range keys {
		sum := sha256.Sum256([]byte(key))
		file.Keys = append(file.Keys, Key{Name: "name of " + key, SHA256: hex.EncodeToString(sum[:]), Scopes: scopes})
	}
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func authorize(r *Ring, header, scope string) (string, int) {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	if header != "" {
		request.Header.Set("Authorization", header)
	}
	name, err := r.Authorize(request, scope)
	var p *problem.Problem
	if errors.As(err, &p) {
		return name, p.Status
	}
	return name, 200
}

func TestAuthorize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write(t, path, map[string][]string{"reading": {"read"}, "writing": {"read", "write"}})
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		header, scope string
		status        int
	}{
		{"", "read", 401},
		{"Bearer ", "read", 401},
		{"Basic reading", "read", 401},
		{"Bearer unknown", "read", 401},
		{"Bearer readin", "read", 401},
		{"Bearer reading", "read", 200},
		{"Bearer reading", "write", 403},
		{"Bearer writing", "write", 200},
		{"Bearer writing", "other", 403},
	} {
		if _, status := authorize(ring, c.header, c.scope); status != c.status {
			t.Errorf("%q for %s: %d, want %d", c.header, c.scope, status, c.status)
		}
	}
	if name, _ := authorize(ring, "Bearer reading", "read"); name != "name of reading" {
		t.Errorf("name %q", name)
	}
}

func TestChangedFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write(t, path, map[string][]string{"old": {"read"}})
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func() { ring.checked = time.Now().Add(-2 * recheck) }

	write(t, path, map[string][]string{"new": {"read"}, "newer": {"read"}})
	changed()
	if _, status := authorize(ring, "Bearer new", "read"); status != 200 {
		t.Errorf("new key: %d", status)
	}
	if _, status := authorize(ring, "Bearer old", "read"); status != 401 {
		t.Errorf("old key: %d", status)
	}

	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed()
	if _, status := authorize(ring, "Bearer new", "read"); status != 200 {
		t.Errorf("after a broken file: %d", status)
	}
}

func TestARotatedKeyEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	now := time.Now()
	text, err := json.Marshal(map[string]any{"keys": []Key{
		{Name: "k", SHA256: hash("new"), Scopes: []string{"read"}},
		{Name: "k", SHA256: hash("old"), Scopes: []string{"read"}, NotAfter: now.Add(time.Hour)},
		{Name: "k", SHA256: hash("older"), Scopes: []string{"read"}, NotAfter: now.Add(-time.Second)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{"new": 200, "old": 200, "older": 401} {
		if _, status := authorize(ring, "Bearer "+key, "read"); status != want {
			t.Errorf("%s: %d, want %d", key, status, want)
		}
	}
}

func TestOpenRefusesBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cut":  `{"keys":[`,
		"hash": `{"keys":[{"name":"a","sha256":"00","scopes":[]}]}`,
		"name": `{"keys":[{"sha256":"` + hex.EncodeToString(make([]byte, 32)) + `"}]}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); err == nil {
		t.Error("absent file: no error")
	}
}
