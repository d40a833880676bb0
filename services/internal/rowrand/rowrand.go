// Package rowrand gives every row of a table its own stream of random numbers.
//
// A row's numbers depend on the seed, the table and the row alone, so any range
// of rows can be made alone, in parallel, and again.
package rowrand

import (
	"hash/fnv"
	"math"
	"math/rand"
)

// A Stream is the random numbers of one row; it is a rand.Source64, so that
// gofakeit and math/rand can draw from it. It is not safe for use by several
// goroutines. The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators", OOPSLA 2014): unlike math/rand's own source
// it costs nothing to start, and a stream is started for each row.
type Stream struct{ state uint64 }

var _ rand.Source64 = (*Stream)(nil)

// Of gives the stream of a row (any number) of the table.
func Of(seed int64, table string, row int64) *Stream {
	name := fnv.New64a()
	name.Write([]byte(table)) //nolint:errcheck // a hash never fails to write
	return &Stream{mix(uint64(seed)^mix(name.Sum64())) ^ mix(uint64(row)*0x9e3779b97f4a7c15)}
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Uint64 gives 64 random bits.
func (s *Stream) Uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	return mix(s.state)
}

// Int63 makes a Stream a rand.Source.
func (s *Stream) Int63() int64 { return int64(s.Uint64() >> 1) }

// Seed makes a Stream a rand.Source; it starts the stream anew.
func (s *Stream) Seed(seed int64) { s.state = uint64(seed) }

// Float gives a number from 0 up to, not including, 1.
func (s *Stream) Float() float64 { return float64(s.Uint64()>>11) / (1 << 53) }

// Between gives a number from low up to, not including, high.
func (s *Stream) Between(low, high float64) float64 { return low + (high-low)*s.Float() }

// Below gives a whole number from 0 to n-1.
func (s *Stream) Below(n int64) int64 { return int64(s.Float() * float64(n)) }

// Normal gives a number of the standard normal distribution (Box and Muller, 1958).
func (s *Stream) Normal() float64 {
	return math.Sqrt(-2*math.Log(1-s.Float())) * math.Cos(2*math.Pi*s.Float())
}

// Weighted gives an index of weights, each as likely as its weight.
func (s *Stream) Weighted(weights ...float64) int {
	total := 0.0
	for _, w := range weights {
		total += w
	}
	at := s.Float() * total
	for i, w := range weights {
		if at < w {
			return i
		}
		at -= w
	}
	return len(weights) - 1
}
