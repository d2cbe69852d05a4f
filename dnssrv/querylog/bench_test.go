package querylog

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
)

// What an entry costs in all, from the ring to the disk: about a household's mix
// of a thousand answers to ten devices.
func BenchmarkAnEntry(b *testing.B) {
	l := New(Options{Log: slog.New(slog.DiscardHandler), Dir: b.TempDir()})
	l.Apply(on())
	l.Open()
	defer l.Close()
	r := l.Ring()
	defer r.Close()
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, Entry{
			Time: 1_700_000_000_000_000, Client: netip.AddrFrom4([4]byte{192, 168, 1, byte(i % 10)}), Told: told(fmt.Sprintf("n%d.example", i), Answered),
		})
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r.Add(&entries[n%len(entries)])
		if n++; n%(ringSize/2) == 0 {
			if err := l.sync(nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	if d := l.Dropped(); d > 0 {
		b.Errorf("%d of %d dropped", d, n)
	}
}
