package apimetrics

import (
	"math"
	"slices"
)

// latencyBounds cut durations, in microseconds, into the buckets of a Histogram:
// bucket i holds the durations from bound i-1 up to, not including, bound i. The
// first bucket begins at 0, the last has no end. Neighbours differ by at most a
// factor of 1.67, which bounds the error of a quantile. For SQL the same bounds
// stand in the table latency_buckets; stored histograms depend on them, so other
// bounds need a migration that converts those.
var latencyBounds = [...]int64{
	100, 150, 200, 300, 500, 700,
	1_000, 1_500, 2_000, 3_000, 5_000, 7_000,
	10_000, 15_000, 20_000, 30_000, 50_000, 70_000,
	100_000, 150_000, 200_000, 300_000, 500_000, 700_000,
	1_000_000, 1_500_000, 2_000_000, 3_000_000, 5_000_000, 7_000_000,
	10_000_000, 15_000_000, 20_000_000, 30_000_000,
}

// Buckets is the number of buckets of a Histogram.
const Buckets = len(latencyBounds) + 1

// A Histogram counts durations by bucket.
type Histogram [Buckets]int64

// Bucket gives the bucket, from 0, of a duration in microseconds.
func Bucket(duration int64) int {
	i, found := slices.BinarySearch(latencyBounds[:], duration)
	if found {
		i++
	}
	return i
}

// BucketRange gives the durations of bucket i: from (included) and to
// (excluded), in microseconds. The last bucket ends at math.MaxInt64.
func BucketRange(i int) (from, to int64) {
	to = math.MaxInt64
	if i > 0 {
		from = latencyBounds[i-1]
	}
	if i < len(latencyBounds) {
		to = latencyBounds[i]
	}
	return from, to
}

// Quantile gives the duration, in microseconds, within which the share q (0 to
// 1) of all requests was served, interpolated within its bucket; false when
// nothing was counted. It differs from the true one by at most the width of the
// bucket. Of the last bucket only the beginning is known: a quantile in it is
// that, a lower bound.
func (h Histogram) Quantile(q float64) (duration float64, ok bool) {
	var total int64
	for _, count := range h {
		total += count
	}
	if total == 0 {
		return 0, false
	}
	rank := q * float64(total)
	var below int64
	for i, count := range h {
		if count == 0 || float64(below+count) < rank {
			below += count
			continue
		}
		from, to := BucketRange(i)
		if to == math.MaxInt64 {
			return float64(from), true
		}
		return float64(from) + float64(to-from)*(rank-float64(below))/float64(count), true
	}
	return float64(latencyBounds[len(latencyBounds)-1]), true // q above 1
}
