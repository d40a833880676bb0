package rowrand

import (
	"math"
	"testing"
)

func TestAStreamDependsOnSeedTableAndRowAlone(t *testing.T) {
	first := Of(42, "orders", 7)
	again := Of(42, "orders", 7)
	for range 10 {
		if a, b := first.Uint64(), again.Uint64(); a != b {
			t.Fatalf("%d and %d", a, b)
		}
	}
	seen := map[uint64]bool{}
	for _, s := range []*Stream{Of(42, "orders", 7), Of(43, "orders", 7), Of(42, "leads", 7), Of(42, "orders", 8), Of(-42, "orders", 7)} {
		seen[s.Uint64()] = true
	}
	if len(seen) != 5 {
		t.Errorf("streams of different rows begin alike: %v", seen)
	}
}

// The first numbers of neighbouring rows, which is what seeders use, are spread
// evenly: each of ten parts of the range gets its share.
func TestFirstNumbersAreSpreadEvenly(t *testing.T) {
	const rows = 100_000
	var parts [10]int
	sum, squares := 0.0, 0.0
	for row := range int64(rows) {
		parts[int(Of(42, "t", row).Float()*10)]++
		n := Of(42, "n", row).Normal()
		sum, squares = sum+n, squares+n*n
	}
	for i, n := range parts {
		if math.Abs(float64(n)-rows/10) > 500 {
			t.Errorf("part %d has %d of %d rows", i, n, rows)
		}
	}
	if mean, variance := sum/rows, squares/rows; math.Abs(mean) > 0.02 || math.Abs(variance-1) > 0.02 {
		t.Errorf("Normal has mean %.3f and variance %.3f", mean, variance)
	}
}

func TestWeighted(t *testing.T) {
	var counts [3]int
	for row := range int64(10_000) {
		counts[Of(1, "t", row).Weighted(0, 3, 1)]++
	}
	if counts[0] != 0 || counts[1] < 7_200 || counts[1] > 7_800 {
		t.Errorf("weights 0, 3, 1 gave %v", counts)
	}
}

func BenchmarkOf(b *testing.B) {
	for i := range b.N {
		Of(42, "orders", int64(i)).Uint64()
	}
}
