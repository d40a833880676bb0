package panel

import (
	"strings"
	"testing"
	"time"
)

var view = View{
	From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), Interval: 5 * time.Minute,
	Values: map[string][]string{"region": {"EMEA", "O'Brien"}, "none": {}},
}

func TestExpand(t *testing.T) {
	for sql, want := range map[string]string{
		`SELECT 1`:                           `SELECT 1`,
		`region IN ($region)`:                `region IN ('EMEA','O''Brien')`,
		`region IN (${region})`:              `region IN ('EMEA','O''Brien')`,
		`region IN (${region:sqlstring})`:    `region IN ('EMEA','O''Brien')`,
		`region IN ([[region]])`:             `region IN ('EMEA','O''Brien')`,
		`$__timeFilter(at::timestamptz)`:     `at::timestamptz BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-31T00:00:00Z'`,
		`at >= $__timeFrom()`:                `at >= '2026-01-01T00:00:00Z'`,
		`$__timeGroup(at, '1d')`:             `floor(extract(epoch from at)/86400)*86400`,
		`$__timeGroupAlias(at, $__interval)`: `floor(extract(epoch from at)/300)*300 AS "time"`,
		`'$__interval'::interval`:            `'300s'::interval`,
		`duration / $__interval_ms`:          `duration / 300000`,
	} {
		if got, err := view.Expand(sql); err != nil || got != want {
			t.Errorf("%s\ngives %s, %v\nwant  %s", sql, got, err, want)
		}
	}
}

// What the server expands stays for it.
func TestVariablesLeaveMacros(t *testing.T) {
	const sql = `region IN ($region) AND $__timeFilter(at) AND x = '$__interval'`
	if got, err := view.Variables(sql); err != nil || got != `region IN ('EMEA','O''Brien') AND $__timeFilter(at) AND x = '$__interval'` {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := view.Variables(`$unknown`); err == nil {
		t.Errorf("got %s", got)
	}
}

func TestExpandRefuses(t *testing.T) {
	for sql, want := range map[string]string{
		`$unknown`:                     "unknown variable",
		`${region:raw}`:                "only quoted values",
		`$__timeFilter()`:              "needs 1 argument",
		`$__timeGroup(at)`:             "needs 2 arguments",
		`$__timeGroup(at, soon)`:       "no interval",
		`$__timeGroup(at, '5m', NULL)`: "not supported",
		`$__unixEpochFilter(at)`:       "unknown macro",
	} {
		if got, err := view.Expand(sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %q, %v; want an error with %q", sql, got, err, want)
		}
	}
}

// Whatever a variable holds stays one literal.
func FuzzValuesStayLiterals(f *testing.F) {
	for _, value := range []string{"a", "'", "''", `\'`, "'; DROP TABLE customers; --", "$region", "${region:raw}", "$__timeFilter(x)", "a\x00b"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		v := view
		v.Values = map[string][]string{"region": {value}}
		got, err := v.Expand(`x IN ($region) AND y`)
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(got, `x IN ('`)
		if !ok {
			t.Fatalf("%q gives %s", value, got)
		}
		rest = strings.ReplaceAll(rest, "''", "")
		if _, after, closed := strings.Cut(rest, "'"); !closed || after != ") AND y" {
			t.Errorf("%q gives %s", value, got)
		}
	})
}

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now":     now,
		"now-24h": now.Add(-24 * time.Hour),
		"now-90d": now.AddDate(0, 0, -90),
		"now-1y":  time.Date(2025, 3, 31, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := ParseFrom(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s gives %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "now+1d", "now-", "now-0d", "now-1q"} {
		if got, err := ParseFrom(text, now); err == nil {
			t.Errorf("%q gives %v", text, got)
		}
	}
}
