package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is what docs/benchmarks.json holds.
type report struct {
	Claims   []result          `json:"claims"`
	Versions map[string]string `json:"versions"`
	Machine  map[string]string `json:"machine"`
}

// machine says on what was measured and how busy that was.
func machine(began time.Time) map[string]string {
	m := map[string]string{
		"processors": fmt.Sprint(runtime.NumCPU()),
		"date":       began.UTC().Format(time.DateOnly),
		"took":       time.Since(began).Round(time.Second).String(),
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil { // Linux only
		m["load at the end, 15 min"] = strings.Fields(string(text))[2]
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, after, _ := strings.Cut(string(text), "model name")
		name, _, _ := strings.Cut(after, "\n")
		m["processor"] = strings.TrimLeft(name, "\t :")
	}
	return m
}

// below lists the claims whose floors are not held.
func (r report) below() (ids []string) {
	for _, c := range r.Claims {
		if !c.FloorHeld {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// table is the claims as Markdown.
func (r report) table() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| claim | what | against | value | q25–q75 | rounds | floor | goal | held | on this machine |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range r.Claims {
		held := "below the floor"
		switch {
		case c.GoalHeld:
			held = "goal"
		case c.FloorHeld:
			held = "floor"
		}
		own := ""
		if c.OwnUnit != "" {
			own = fmt.Sprintf("%.4g and %.4g %s", c.Ours, c.Theirs, c.OwnUnit)
		}
		unit := c.Unit
		if unit != "×" {
			unit = " " + unit
		}
		fmt.Fprintf(&b, "| %s | %s | %s | **%.3g%s** | %.3g–%.3g | %d | %g | %g | %s | %s |\n",
			c.ID, c.Title, c.Against, c.Value, unit, c.Q25, c.Q75, c.Rounds, c.Floor, c.Goal, held, own)
	}
	return b.String()
}

func (r report) write(folder string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "benchmarks.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(`# Benchmarks

Written by ` + "`make bench`" + `, which fails when a claim is below its floor; the same figures for programs are in benchmarks.json.

The programs in bin/ run with their default configuration: authentication, request log, metrics; the rate limit is raised, not removed. Both sides of
a claim take turns in short rounds. A value is the median over the rounds of the ratio inside one round, with the quartiles beside it, because
other work on a machine hits both sides of a round alike. What each side did on this machine is for orientation only.

`)
	b.WriteString(r.table())
	b.WriteString("\n## Measured with\n\n")
	for _, list := range []map[string]string{r.Versions, r.Machine} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			fmt.Fprintf(&b, "- %s: %s\n", name, list[name])
		}
	}
	return os.WriteFile(filepath.Join(folder, "benchmarks.md"), []byte(b.String()), 0o644)
}
