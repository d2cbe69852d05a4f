package order

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSortsAsSlicesDo(t *testing.T) {
	type pair struct{ key, place int }
	byKey := func(a, b pair) int { return cmp.Compare(a.key, b.key) }
	whole := func(a, b pair) int { return cmp.Or(byKey(a, b), cmp.Compare(a.place, b.place)) }
	for n := range 300 {
		s := make([]pair, n)
		for i := range s {
			s[i] = pair{rand.IntN(1 + n/3), i}
		}
		want := slices.Clone(s)
		slices.SortStableFunc(want, byKey)
		stable, any := slices.Clone(s), slices.Clone(s)
		Stable(stable, byKey)
		By(any, whole)
		if !slices.Equal(stable, want) || !slices.Equal(any, want) {
			t.Fatalf("%v\nis stable %v\nby all %v\nwant %v", s, stable, any, want)
		}
	}
}
