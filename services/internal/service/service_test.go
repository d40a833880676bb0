package service

import (
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"

	"github.com/datameesh/datameesh/services/internal/schema"
)

func TestEveryBadVariableIsNamedAtOnce(t *testing.T) {
	t.Setenv("RATE_LIMIT", "many")
	t.Setenv("DRAIN", "soon")
	t.Setenv("DATABASE_URL", "")
	_, err := env.ParseAs[Config]()
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"LISTEN_ADDR", "DATABASE_URL", "API_KEYS_FILE", "RateLimit", "Drain"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if code := Main("sales-api", schema.Schema{}, nil); code != 2 {
		t.Errorf("exit code %d", code)
	}
	for name, value := range map[string]string{"LISTEN_ADDR": "127.0.0.1:0", "DATABASE_URL": "postgres://", "API_KEYS_FILE": "none", "RATE_LIMIT": "1", "DRAIN": "1s"} {
		t.Setenv(name, value)
	}
	var own struct {
		Days int `env:"RETENTION_DAYS"`
	}
	t.Setenv("RETENTION_DAYS", "few")
	if code := Main("sales-api", schema.Schema{}, nil, &own); code != 2 {
		t.Errorf("a bad variable of the service alone: exit code %d", code)
	}
}
