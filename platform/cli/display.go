package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/datameesh/datameesh/platform/fetch"
	"github.com/datameesh/datameesh/platform/local"
	"github.com/datameesh/datameesh/platform/supervise"
)

// A display shows how "up" gets on: lines that stay, and on a terminal one
// line at the end that changes.
type display struct {
	w     io.Writer
	width func() int // nil when not a terminal

	begin   time.Time
	stop    chan struct{} // ends the clock
	mu      sync.Mutex
	drawn   bool
	mesh    string                 // of the changing line
	fetches map[string]fetch.Event // under way
	printed map[string]time.Time   // when a fetch was last told where nothing can change
	states  map[string]supervise.Status
}

func newDisplay(f *os.File) *display {
	v := &display{
		w: f, begin: time.Now(), stop: make(chan struct{}),
		fetches: map[string]fetch.Event{}, printed: map[string]time.Time{}, states: map[string]supervise.Status{},
	}
	if fd := int(f.Fd()); term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		v.width = func() int {
			if width, _, err := term.GetSize(fd); err == nil && width > 0 {
				return width
			}
			return 80
		}
		go v.clock()
	}
	return v
}

// clock redraws the changing line, which shows the time.
func (v *display) clock() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.mu.Lock()
			v.draw()
			v.mu.Unlock()
		}
	}
}

// Line writes a line that stays.
func (v *display) Line(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(format, args...)
	v.draw()
}

func (v *display) line(format string, args ...any) {
	v.erase()
	fmt.Fprintf(v.w, format+"\n", args...)
}

func (v *display) erase() {
	if v.drawn {
		fmt.Fprint(v.w, "\r\x1b[K")
		v.drawn = false
	}
}

// draw writes the line that changes.
func (v *display) draw() {
	if v.width == nil {
		return
	}
	v.erase()
	parts := []string{}
	if v.mesh != "" {
		parts = append(parts, fmt.Sprintf("%d s, %s", int(time.Since(v.begin).Seconds()), v.mesh))
	}
	for _, name := range slices.Sorted(maps.Keys(v.fetches)) {
		parts = append(parts, v.fetches[name].String())
	}
	text := []rune(strings.Join(parts, " · "))
	if len(text) == 0 {
		return
	}
	if limit := v.width() - 1; len(text) > limit {
		text = append(text[:max(0, limit-1)], '…')
	}
	fmt.Fprint(v.w, string(text))
	v.drawn = true
}

// Close removes the line that changes.
func (v *display) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mesh, v.fetches = "", map[string]fetch.Event{}
	v.erase()
	select {
	case <-v.stop: // closed before
	default:
		close(v.stop)
	}
}

// Fetch shows the progress of a download; it is a fetch.Progress.
func (v *display) Fetch(e fetch.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before, known := v.fetches[e.Package]
	v.fetches[e.Package] = e
	if e.Step == fetch.Done {
		delete(v.fetches, e.Package)
		v.line("  %s", e)
	} else if v.width == nil && (!known || before.Step != e.Step || time.Since(v.printed[e.Package]) >= 10*time.Second) {
		v.printed[e.Package] = time.Now()
		v.line("  %s", e)
	}
	v.draw()
}

// Mesh shows what has changed since the last call.
func (v *display) Mesh(all []supervise.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var ready, total int
	var busy []string
	for _, c := range all {
		before, known := v.states[c.Name]
		v.states[c.Name] = c
		if c.Group == local.Core {
			total++
			if c.Ready {
				ready++
			}
		}
		if !c.Ready && (c.State == supervise.Running || c.State == supervise.Starting || c.State == supervise.Unhealthy) {
			busy = append(busy, c.Name)
		}
		switch {
		case c.State == before.State && c.Failures == before.Failures:
		case c.Kind == supervise.Server && c.Ready && known && !before.Ready:
			v.line("  %-22s ready  %s", c.Name, c.URL)
		case c.Failures == 1 && before.Failures == 0 && known:
			v.line("  %-22s %s; tries again", c.Name, c.Error)
		}
	}
	v.mesh = ""
	if ready < total || len(busy) > 0 {
		v.mesh = fmt.Sprintf("%d of %d", ready, total)
		if len(busy) > 0 {
			v.mesh += ": " + strings.Join(busy, ", ")
		}
	}
	v.draw()
}
