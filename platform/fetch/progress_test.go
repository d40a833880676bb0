package fetch

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// clock is a time that moves when told.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func TestRateOfTheLastSeconds(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	var last Event
	tr := newTracker(Package{Name: "trino", Version: "476"}, func(e Event) { last = e })
	tr.now, tr.begun = c.now, c.now()
	tr.step(Downloading, 1000_000_000, "")
	c.forward(50 * time.Second) // a silent mirror must not spoil the rate
	tr.set(0)
	if last.Rate != 0 || !strings.Contains(last.String(), "no data yet after 50 s") {
		t.Errorf("silent: %s", last)
	}
	for i := range 11 {
		tr.set(int64(i) * 20_000_000)
		c.forward(time.Second)
	}
	if last.Rate != 20_000_000 || last.Left != 40*time.Second {
		t.Errorf("rate %v, left %v", last.Rate, last.Left)
	}
	if want := "trino 476: downloading 200 MB of 1000 MB (20 %), 20 MB/s, 40 s left"; last.String() != want {
		t.Errorf("got  %s\nwant %s", last, want)
	}
	for range 10 { // stalled
		tr.set(200_000_000)
		c.forward(time.Second)
	}
	if last.Rate != 0 {
		t.Errorf("rate of a stalled download: %v", last.Rate)
	}
}

func TestPlainLines(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	var out bytes.Buffer
	p := &Printer{w: &out, now: c.now, current: map[string]Event{}, printed: map[string]time.Time{}}
	for i := range 21 {
		p.Report(Event{Package: "trino 476", Step: Downloading, Bytes: int64(i+1) * 10_000_000, Total: 821_000_000})
		c.forward(time.Second)
	}
	p.Report(Event{Package: "trino 476", Step: Done, Elapsed: 130 * time.Second})
	p.Close()
	want := `trino 476: downloading 10 MB of 821 MB (1 %)
trino 476: downloading 110 MB of 821 MB (13 %)
trino 476: downloading 210 MB of 821 MB (25 %)
trino 476: ready after 2 min 10 s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestTerminalLineNeverWraps(t *testing.T) {
	var out bytes.Buffer
	p := &Printer{w: &out, now: time.Now, width: func() int { return 40 }, current: map[string]Event{}, printed: map[string]time.Time{}}
	p.Report(Event{Package: "jdk 25.0.2.1", Step: Downloading, Bytes: 1_000_000, Total: 35_000_000})
	p.Report(Event{Package: "trino 476", Step: Downloading, Bytes: 1_000_000, Total: 821_000_000})
	for line := range strings.SplitSeq(out.String(), "\r") {
		if n := len([]rune(strings.TrimSuffix(line, "\x1b[K"))); n > 39 {
			t.Errorf("%d characters on 40 columns: %q", n, line)
		}
	}
	p.Report(Event{Package: "jdk 25.0.2.1", Step: Done, Elapsed: 2 * time.Second})
	if !strings.Contains(out.String(), "\r\x1b[Kjdk 25.0.2.1: ready after 2 s\n") {
		t.Errorf("the finished package has no line of its own: %q", out.String())
	}
	p.Close()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("the last line stays: %q", out.String())
	}
}
