package database

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datameesh/datameesh/services/internal/queryparam"
)

func TestConditionsLeaveOutWhatFiltersNothing(t *testing.T) {
	day := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	where := Where(int64(7))
	where.And(`region = ?`, "EMEA")
	where.And(`segment = ?`, "")
	where.And(`created_at >= ?`, time.Time{}.UTC())
	where.And(`created_at < ?`, day)
	where.And(`campaign_id = ?`, int64(0))
	if got, want := where.SQL(), "\n   AND region = $2\n   AND created_at < $3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]any{int64(7), "EMEA", day}, where.Args()); diff != "" {
		t.Error(diff)
	}
}

// Only the page that most ask for has a statement of its own.
func TestLimitIsAParameterUnlessItIsTheUsualOne(t *testing.T) {
	where := Where("x")
	if got, want := where.Limit(queryparam.DefaultLimit+1), "\n LIMIT 51"; got != want || len(where.Args()) != 1 {
		t.Errorf("got %q with %v, want %q", got, where.Args(), want)
	}
	if got, want := where.Limit(7), "\n LIMIT $2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]any{"x", 7}, where.Args()); diff != "" {
		t.Error(diff)
	}
}
