package querylog

import (
	"cmp"
	"slices"
)

// sketchSize is how many keys a sketch tells apart for good.
const sketchSize = 256

// A sketch counts the keys that come up most often, in bounded memory: at most
// twice sketchSize keys. A count is too low by at most the sum of all divided by
// sketchSize, and never too high.
//
// It is the algorithm of Misra and Gries with many decrements at a time, as
// Anderson et al. have it ("A High-Performance Algorithm for Identifying
// Frequent Items in Data Streams", 2017).
type sketch map[string]uint64

func (s sketch) add(key string, n uint64) {
	if key == "" || n == 0 {
		return
	}
	s[key] += n
	if len(s) > 2*sketchSize {
		s.thin()
	}
}

// thin takes the count of the key in the middle from all, and lets go of those
// that have nothing left.
func (s sketch) thin() {
	counts := make([]uint64, 0, len(s))
	for _, n := range s {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	less := counts[len(counts)-sketchSize]
	for key, n := range s {
		if n <= less {
			delete(s, key)
		} else {
			s[key] = n - less
		}
	}
}

// A Count is how often something came up.
type Count struct {
	Key   string
	Count uint64
}

// top returns the n keys with the highest counts of all sketches together.
func top(n int, sketches ...sketch) []Count {
	sums := map[string]uint64{}
	for _, s := range sketches {
		for key, c := range s {
			sums[key] += c
		}
	}
	out := make([]Count, 0, len(sums))
	for key, c := range sums {
		out = append(out, Count{key, c})
	}
	slices.SortFunc(out, func(a, b Count) int { return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Key, b.Key)) })
	return slices.Clone(out[:min(n, len(out))])
}
