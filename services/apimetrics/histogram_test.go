package apimetrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsCoverAllDurationsOnce(t *testing.T) {
	t.Parallel()
	next := int64(0)
	for i := range Buckets {
		from, to := BucketRange(i)
		if from != next || to <= from {
			t.Errorf("bucket %d: %d to %d, want it to begin at %d", i, from, to, next)
		}
		if Bucket(from) != i || Bucket(to-1) != i {
			t.Errorf("%d is in bucket %d and %d in %d, want %d", from, Bucket(from), to-1, Bucket(to-1), i)
		}
		next = to
	}
	if next != math.MaxInt64 {
		t.Errorf("the last bucket ends at %d", next)
	}
}

// A quantile lies in the bucket of the true one, which sorting finds.
func TestQuantileIsInTheBucketOfTheTrueOne(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		durations := make([]int64, 1+random.IntN(200))
		var h Histogram
		spread := 3 * random.Float64()
		for i := range durations {
			durations[i] = int64(math.Exp(math.Log(1000)*(0.5+1.5*random.Float64()) + spread*random.NormFloat64()))
			h[Bucket(durations[i])]++
		}
		slices.Sort(durations)
		for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
			exact := durations[max(int(math.Ceil(q*float64(len(durations)))), 1)-1]
			from, to := BucketRange(Bucket(exact))
			if got, ok := h.Quantile(q); !ok || got < float64(from) || got > float64(to) {
				t.Fatalf("quantile %v of %v is %v, want %d to %d around %d", q, durations, got, from, to, exact)
			}
		}
	}
}

func TestQuantileInterpolates(t *testing.T) {
	t.Parallel()
	var h Histogram
	if _, ok := h.Quantile(0.5); ok {
		t.Error("an empty histogram has a median")
	}
	h[Bucket(1000)] = 4 // 1000 to 1500
	for q, want := range map[float64]float64{0: 1000, 0.25: 1125, 0.5: 1250, 1: 1500} {
		if got, _ := h.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	h[Buckets-1] = 100
	if got, _ := h.Quantile(0.99); got != 30_000_000 {
		t.Errorf("a quantile beyond the last bound is %v, want that bound", got)
	}
}
