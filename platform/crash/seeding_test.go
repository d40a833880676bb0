//go:build crash

package crash

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Ten million rows take the seeder no more memory than a hundred thousand.
func TestSeedingHasFlatMemory(t *testing.T) {
	if !long() {
		t.Skip("takes minutes, part of make test/long")
	}
	s := newStand(t)
	var peaks []int64
	for _, orders := range []int{100_000, 10_000_000} {
		seed := s.command("sales-seed", "sales_data", "sales_owner")
		seed.Args = append(seed.Args, "--force", "--scale", "load", "--as-of", "2026-11-23",
			"--rows", "customers=100000", "--rows", fmt.Sprintf("orders=%d", orders))
		began := time.Now()
		peaks = append(peaks, peakOf(t, seed))
		if n := s.count("sales_data", `SELECT count(*) FROM orders`); n != int64(orders) {
			t.Errorf("%d orders, want %d", n, orders)
		}
		t.Logf("%d orders in %.0f s, %d MB resident at most", orders, time.Since(began).Seconds(), peaks[len(peaks)-1]>>20)
	}
	if peaks[1] > 3*peaks[0]/2 {
		t.Errorf("memory grows with the rows: %d bytes", peaks)
	}
}

// peakOf runs a program to its end and gives the most that was resident of it, in bytes.
func peakOf(t *testing.T, command *exec.Cmd) int64 {
	t.Helper()
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %.2000s", command, err, out)
	}
	return command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // getrusage(2): kilobytes
}
