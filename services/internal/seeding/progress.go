package seeding

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress tells a person how far the seeding is: one moving line on a
// terminal, else a line every few seconds.
type progress struct {
	w        io.Writer
	program  string
	total    int64
	done     int64
	began    time.Time
	told     time.Time
	terminal bool
}

func newProgress(w io.Writer, program string, plan Plan, first int) *progress {
	p := &progress{w: w, program: program, began: time.Now(), told: time.Now()}
	for i := first; i < plan.Transactions; i++ {
		for _, c := range plan.Transaction(i) {
			p.total += c.To - c.From
		}
	}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

func (p *progress) add(rows int64) {
	p.done += rows
	pause := 5 * time.Second
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if time.Since(p.told) < pause {
		return
	}
	p.told = time.Now()
	rate := float64(p.done) / time.Since(p.began).Seconds()
	left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second)).Round(time.Second)
	p.line(fmt.Sprintf("%s: %d of %d rows, %.0f rows/s, %v left", p.program, p.done, p.total, rate, left))
}

func (p *progress) end() {
	took := time.Since(p.began)
	p.line(fmt.Sprintf("%s: %d rows in %v, %.0f rows/s", p.program, p.done, took.Round(time.Millisecond), float64(p.done)/took.Seconds()))
	if p.terminal {
		fmt.Fprintln(p.w)
	}
}

func (p *progress) line(text string) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r\033[K%s", text)
	} else {
		fmt.Fprintln(p.w, text)
	}
}
