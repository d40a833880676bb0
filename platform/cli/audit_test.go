package cli

import (
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"": "0001-01-01T00:00:00Z", "0": "0001-01-01T00:00:00Z",
		"90m": "2026-11-28T10:30:00Z", "24h": "2026-11-27T12:00:00Z", "7d": "2026-11-21T12:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T08:30:00Z": "2026-11-01T08:30:00Z", "2026-11-01T08:30:00+02:00": "2026-11-01T06:30:00Z", "2026-11-01 08:30:00": "2026-11-01T08:30:00Z",
	} {
		if got, err := moment(s, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"soon", "-1h", "-1d", "1", "2026-13-01", "2026-11-31", "d"} {
		if got, err := moment(s, now); err == nil {
			t.Errorf("%q is taken for %v", s, got)
		}
	}
}
