package database

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConditionsLeaveOutWhatFiltersNothing(t *testing.T) {
	day := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	where := Where(int64(7), 50)
	where.And(`region = ?`, "EMEA")
	where.And(`segment = ?`, "")
	where.And(`created_at >= ?`, time.Time{}.UTC())
	where.And(`created_at < ?`, day)
	where.And(`campaign_id = ?`, int64(0))
	if got, want := where.SQL(), "\n   AND region = $3\n   AND created_at < $4"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]any{int64(7), 50, "EMEA", day}, where.Args()); diff != "" {
		t.Error(diff)
	}
}
