package render

import (
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		unit  string
		value float64
		want  string
	}{
		{"currencyUSD", 464123.45, "$464,123.45"},
		{"currencyUSD", 0, "$0.00"},
		{"currencyUSD", -12, "−$12.00"},
		{"currencyUSD", -0.001, "$0.00"}, // no minus before zero
		{"currencyUSD", 2.675, "$2.68"},  // as a numeric rounds; the float64 lies below
		{"currencyUSD", 1.005, "$1.01"},
		{"currencyUSD", 999.995, "$1,000.00"},
		{"currencyUSD", 1234567890.12, "$1,234,567,890.12"},
		{"percentunit", 0.285, "28.5%"},
		{"percentunit", -0.07, "−7.0%"},
		{"percentunit", 0.0002, "0.020%"},
		{"percentunit", 2e-16, "0.0%"},
		{"percentunit", 12.5, "1,250.0%"},
		{"short", 1234, "1,234"},
		{"short", 52.8, "52.80"},
		{"s", 0.25, "250 ms"},
		{"s", 41.25, "41.3 s"},
		{"s", 600, "10.0 min"},
		{"s", 90_000, "25.0 h"},
		{"s", 200_000, "2.31 days"},
		{"ms", 12.34, "12.3 ms"},
		{"ms", 2500, "2.50 s"},
		{"bytes", 512, "512 B"},
		{"bytes", 5 << 30, "5.00 GiB"},
		{"reqps", 1.234, "1.23 req/s"},
	} {
		if got := (Field{Unit: c.unit}).Format(c.value); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestTick(t *testing.T) {
	for _, c := range []struct {
		unit        string
		value, step float64
		want        string
	}{
		{"currencyUSD", 20_000, 20_000, "$20k"},
		{"currencyUSD", 0, 20_000, "$0"},
		{"currencyUSD", 1_500_000, 500_000, "$1.5M"},
		{"currencyUSD", -2000, 1000, "−$2k"},
		{"percentunit", 0.25, 0.05, "25%"},
		{"percentunit", 0.025, 0.025, "2.5%"},
		{"short", 2.5, 0.5, "2.5"},
		{"short", 3, 0.5, "3.0"},
		{"bytes", 2 << 20, 1 << 20, "2 MiB"},
		{"s", 0, 1, "0"},
	} {
		if got := (Field{Unit: c.unit}).Tick(c.value, c.step); got != c.want {
			t.Errorf("%v %s by %v is %q, want %q", c.value, c.unit, c.step, got, c.want)
		}
	}
}

func TestTicksCoverAndAreFew(t *testing.T) {
	for _, c := range [][2]float64{{0, 1}, {0, 87}, {0, 12345.67}, {-3, 5}, {0, 0}, {0, 1e-6}, {0, 1e15}} {
		list, step := ticks(c[0], c[1], 5)
		if list[0] > c[0] || list[len(list)-1] < c[1]*(1-1e-9) || step <= 0 || len(list) > 8 {
			t.Errorf("%v: %v by %v", c, list, step)
		}
	}
}

func TestTimeTicks(t *testing.T) {
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		from, to    time.Time
		wanted      int
		first, last string
	}{
		{day(1, 1), day(1, 2), 8, "1 Jan", "2 Jan"},
		{day(1, 1).Add(61 * time.Minute), day(1, 1).Add(5 * time.Hour), 8, "01:30", "05:00"},
		{day(1, 1), day(4, 1), 7, "5 Jan", "30 Mar"}, // Mondays
		{day(1, 1), day(12, 31), 12, "Jan 2026", "Dec"},
		{day(1, 1).AddDate(-20, 0, 0), day(1, 1), 6, "2010", "2025"},
	} {
		list := timeTicks(c.from, c.to, c.wanted)
		if len(list) == 0 || len(list) > c.wanted+2 || list[0].text != c.first || list[len(list)-1].text != c.last {
			t.Errorf("%v to %v: %v, want %s to %s", c.from, c.to, list, c.first, c.last)
		}
	}
}
