package setup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sales-db/sales_app", "secret\n")
	write("sales-db/empty", "\n")
	p := Passwords(dir)
	if got, err := p.read("sales-db", "sales_app"); err != nil || got != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := p.read("sales-db", "empty"); err == nil || !strings.Contains(err.Error(), "the Secret sales-db lacks a value") {
		t.Errorf("empty: %v", err)
	}
	if _, err := p.read("sales-db", "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// A reason is told once while it stays the same.
func TestUntil(t *testing.T) {
	var log bytes.Buffer
	tries := 0
	err := until(t.Context(), &log, "it", func() error {
		tries++
		switch {
		case tries < 3:
			return errors.New("not yet")
		case tries == 3:
			return errors.New("almost")
		}
		return nil
	})
	if err != nil || log.String() != "waiting for it: not yet\nwaiting for it: almost\n" {
		t.Errorf("%v, told %q", err, log.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := until(ctx, &log, "it", func() error { return errors.New("never") }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestServers(t *testing.T) {
	for _, name := range []string{"sales-db", "sales-api-db", "marketing-db", "analytics-db", "hive-metastore-db"} {
		if s, err := serverNamed(name); err != nil || len(s.Databases) == 0 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	// On Kubernetes there is none of that name.
	if err := Roles(t.Context(), &bytes.Buffer{}, Passwords(t.TempDir()), []string{"platform-db"}); err == nil || !strings.Contains(err.Error(), "analytics-db") {
		t.Errorf("got %v, want the names of those that are", err)
	}
}
