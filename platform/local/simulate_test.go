package local

import (
	"testing"
	"time"
)

func TestNextDayIsTheMidnightToCome(t *testing.T) {
	east := time.FixedZone("east", 9*60*60)
	for now, want := range map[time.Time]string{
		time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC):      "2026-11-24",
		time.Date(2026, 11, 23, 23, 59, 59, 999, time.UTC): "2026-11-24",
		time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC):     "2027-01-01",
		time.Date(2026, 11, 24, 1, 0, 0, 0, east):          "2026-11-24",
	} {
		if got := NextDay(now); got.Format(time.RFC3339) != want+"T00:00:00Z" {
			t.Errorf("after %v comes %v", now, got)
		}
	}
}

func TestDomainsThatCanBeSimulated(t *testing.T) {
	var programs []string
	for _, d := range Domains {
		if name := d.SimulateProgram(); name != "" {
			programs = append(programs, name)
		}
	}
	if len(programs) != 2 || programs[0] != "sales-simulate" || programs[1] != "marketing-simulate" {
		t.Errorf("got %v", programs)
	}
}
