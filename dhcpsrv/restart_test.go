package dhcpsrv

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// reload is a pool as it comes back from records in any order.
func reload(t *testing.T, now time.Time, book [][]byte) *pool {
	t.Helper()
	var recs []record
	for _, b := range book {
		r, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, r)
	}
	rand.Shuffle(len(recs), func(i, j int) { recs[i], recs[j] = recs[j], recs[i] })
	p := newPool()
	p.load(now, recs)
	p.configure(lan)
	return p
}

func seconds(ls []Lease) []Lease {
	for i := range ls {
		ls[i].Expires = ls[i].Expires.Truncate(time.Second).UTC()
	}
	return ls
}

func TestLeasesSurviveARestartInAnyOrder(t *testing.T) {
	p := newLAN()
	var book [][]byte
	at := noon
	do := func(rec []byte, ok bool) {
		at = at.Add(time.Second)
		if ok {
			book = append(book, rec)
		}
	}
	for n := range 4 {
		rec, _, ok := p.lease(at, device(n), p.nth(n))
		do(rec, ok)
	}
	do(p.release(at, device(0), p.nth(0)))
	rec, _, ok := p.lease(at, device(8), p.nth(0)) // another gets it at once
	do(rec, ok)
	do(p.decline(at, p.nth(1)), true)
	do(p.forget(p.nth(2)))
	rec, _, ok = p.lease(at, device(3), p.nth(6)) // it moves
	do(rec, ok)
	want := seconds(p.leases(at))
	for range 50 {
		if got := seconds(reload(t, at, book).leases(at)); !slices.Equal(got, want) {
			t.Fatalf("before %+v\nafter  %+v", want, got)
		}
	}
	for _, bad := range []string{"{", `{"a":"fe80::1"}`, `{}`} {
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("the record %s was accepted", bad)
		}
	}
}

// A board without a battery-backed clock may find itself in 1970.
func TestClockThatWentBackDoesNotHoldLeasesForEver(t *testing.T) {
	p := newLAN()
	rec, _, _ := p.lease(noon, device(1), p.nth(0))
	past := time.Unix(1000, 0)
	q := reload(t, past, [][]byte{rec})
	if !q.byAddr[p.nth(0)].held(past.Add(lan.Lease - time.Second)) {
		t.Error("the lease is not held")
	}
	if q.byAddr[p.nth(0)].held(past.Add(lan.Lease)) {
		t.Error("the lease is held longer than it was given for")
	}
}
