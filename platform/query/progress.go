package query

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A ProgressLine shows the progress of a query in one line of a terminal.
type ProgressLine struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
	shown bool
	ended bool
}

// NewProgressLine makes a line on w, which must be a terminal.
func NewProgressLine(w io.Writer) *ProgressLine {
	return &ProgressLine{w: w, start: time.Now()}
}

// Update shows the progress; it does nothing after End.
func (p *ProgressLine) Update(now Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.shown = true
	fmt.Fprintf(p.w, "\r\x1b[K%s", progressText(now, time.Since(p.start)))
}

func progressText(now Progress, elapsed time.Duration) string {
	text := fmt.Sprintf("%s  %.1f s", now.State, elapsed.Seconds())
	if now.TotalSplits > 0 {
		text += fmt.Sprintf("  %d of %d splits (%d%%)", now.CompletedSplits, now.TotalSplits, 100*now.CompletedSplits/now.TotalSplits)
	}
	if now.ProcessedRows > 0 {
		text += fmt.Sprintf("  %d rows read", now.ProcessedRows)
	}
	return text
}

// End removes the line, for what follows on the terminal.
func (p *ProgressLine) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown, p.ended = false, true
}
