package service

import (
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
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
	if code := Main("sales-api", nil); code != 2 {
		t.Errorf("exit code %d", code)
	}
}
