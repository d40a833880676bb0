package fetch

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Step names what is being done with a package.
type Step string

// Steps in the order they happen. Waiting comes only when another process
// fetches the same package; a package that the cache holds reports nothing.
const (
	Waiting     Step = "waiting"
	Downloading Step = "downloading"
	Building    Step = "building, some minutes" // from source, once per machine
	Verifying   Step = "verifying"
	Unpacking   Step = "unpacking"
	Done        Step = "done"
)

// An Event is one report of progress.
type Event struct {
	Package string // "trino 476"
	Step    Step
	Bytes   int64         // so far in this step
	Total   int64         // of this step; 0 when not known
	Rate    float64       // bytes per second over the last seconds; 0 when not known
	Left    time.Duration // estimated; 0 when not known
	Elapsed time.Duration // since work on the package began
	Text    string        // Waiting: who is waited for; Done: where the tree lies
}

// String is the event as one line without colours.
func (e Event) String() string {
	switch {
	case e.Step == Done:
		return fmt.Sprintf("%s: ready after %s", e.Package, seconds(e.Elapsed))
	case e.Step == Waiting:
		return fmt.Sprintf("%s: waiting, %s", e.Package, e.Text)
	case e.Total == 0:
		return fmt.Sprintf("%s: %s", e.Package, e.Step)
	}
	if e.Step == Downloading && e.Bytes == 0 {
		// A mirror that does not hold the file yet fetches it first and is silent.
		return fmt.Sprintf("%s: downloading %s, no data yet after %s", e.Package, megabytes(e.Total), seconds(e.Elapsed))
	}
	s := fmt.Sprintf("%s: %s %s of %s (%d %%)", e.Package, e.Step, megabytes(e.Bytes), megabytes(e.Total), 100*e.Bytes/e.Total)
	if e.Rate > 0 {
		s += fmt.Sprintf(", %s/s, %s left", megabytes(int64(e.Rate)), seconds(e.Left))
	}
	return s
}

// Progress receives events, possibly from several goroutines at once; nil is
// allowed. It must not block.
type Progress func(Event)

func megabytes(n int64) string {
	if n < 10_000_000 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

func seconds(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
}

// A tracker turns byte counts of one package into events.
type tracker struct {
	pkg      Package
	progress Progress
	now      func() time.Time
	begun    time.Time

	mu      sync.Mutex
	current Event
	samples []sample // of the last rateWindow
	sent    time.Time
}

type sample struct {
	at    time.Time
	bytes int64
}

const (
	// rateWindow is long enough to be steady and short enough to show a stall;
	// an average since the beginning would count the time a mirror was silent.
	rateWindow = 5 * time.Second
	eventEvery = 200 * time.Millisecond
)

func newTracker(pkg Package, p Progress) *tracker {
	if p == nil {
		p = func(Event) {}
	}
	return &tracker{pkg: pkg, progress: p, now: time.Now, begun: time.Now()}
}

// step begins a step of total bytes; repeating the current step only sets its total.
func (t *tracker) step(s Step, total int64, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = Event{Package: t.pkg.String(), Step: s, Total: total, Text: text}
	t.samples = nil
	t.send()
}

func (t *tracker) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved(t.current.Bytes + n)
}

func (t *tracker) set(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved(bytes)
}

func (t *tracker) bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current.Bytes
}

func (t *tracker) moved(bytes int64) {
	// Before the file itself, a client writes small ones, perhaps larger ones.
	if t.current.Total > 0 {
		bytes = min(bytes, t.current.Total)
	}
	t.current.Bytes = bytes
	now := t.now()
	if now.Sub(t.sent) < eventEvery {
		return
	}
	t.samples = append(t.samples, sample{now, bytes})
	for now.Sub(t.samples[0].at) > rateWindow {
		t.samples = t.samples[1:]
	}
	t.current.Rate, t.current.Left = 0, 0
	first := t.samples[0]
	if d := now.Sub(first.at); d > 0 && bytes > first.bytes {
		t.current.Rate = float64(bytes-first.bytes) / d.Seconds()
		t.current.Left = time.Duration(float64(t.current.Total-bytes) / t.current.Rate * float64(time.Second))
	}
	t.send()
}

func (t *tracker) send() {
	t.sent = t.now()
	t.current.Elapsed = t.sent.Sub(t.begun)
	t.progress(t.current)
}

// A Printer shows events to a person: on a terminal as one line that changes,
// elsewhere as a line per step and one every ten seconds of a download.
type Printer struct {
	w     io.Writer
	width func() int // of the terminal; nil when there is none
	now   func() time.Time

	mu      sync.Mutex
	order   []string // packages under way
	current map[string]Event
	printed map[string]time.Time
	drawn   bool
}

// NewPrinter makes a printer on f, usually os.Stderr.
func NewPrinter(f *os.File) *Printer {
	p := &Printer{w: f, now: time.Now, current: map[string]Event{}, printed: map[string]time.Time{}}
	if fd := int(f.Fd()); term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		p.width = func() int {
			if width, _, err := term.GetSize(fd); err == nil && width > 0 {
				return width
			}
			return 80
		}
	}
	return p
}

// Report shows one event; it is a Progress.
func (p *Printer) Report(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.current[e.Package]
	if !known {
		p.order = append(p.order, e.Package)
	}
	p.current[e.Package] = e
	if p.width == nil {
		now := p.now()
		if known && before.Step == e.Step && now.Sub(p.printed[e.Package]) < 10*time.Second {
			return
		}
		p.printed[e.Package] = now
		fmt.Fprintln(p.w, e)
		return
	}
	if e.Step == Done {
		p.erase()
		fmt.Fprintln(p.w, e)
		p.forget(e.Package)
	}
	p.draw()
}

// Close leaves the cursor on a fresh line, and is needed before anything else
// is written to the terminal.
func (p *Printer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *Printer) forget(pkg string) {
	delete(p.current, pkg)
	for i, name := range p.order {
		if name == pkg {
			p.order = append(p.order[:i:i], p.order[i+1:]...)
			return
		}
	}
}

func (p *Printer) draw() {
	if len(p.order) == 0 {
		return
	}
	parts := make([]string, len(p.order))
	for i, name := range p.order {
		parts[i] = p.current[name].String()
	}
	// A line that wraps could not be erased.
	line := []rune(strings.Join(parts, " | "))
	if limit := p.width() - 1; len(line) > limit {
		line = append(line[:max(limit-1, 0)], '…')
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", string(line))
	p.drawn = true
}

func (p *Printer) erase() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}
