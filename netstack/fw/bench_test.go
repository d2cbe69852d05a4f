package fw

import (
	"log/slog"
	"testing"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// BenchmarkApply loads a table of 10,000 peers, and counts what has arrived.
func BenchmarkApply(b *testing.B) {
	nettest.NeedNamespace(b)
	f := New(slog.New(slog.DiscardHandler))
	m := crowd(10000)
	bare := Compile(crowd(0))
	for b.Loop() {
		b.StopTimer()
		if err := f.Set(bare); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := f.Set(Compile(m)); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Remove(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkChange gives one of 10,000 peers a right and takes it away, the
// compiling included.
func BenchmarkChange(b *testing.B) {
	nettest.NeedNamespace(b)
	f := New(slog.New(slog.DiscardHandler))
	f.watching.Store(true)
	m := crowd(10000)
	if err := f.Set(Compile(m)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m.Rules.Peers[5000].LAN = !m.Rules.Peers[5000].LAN
		if err := f.Set(Compile(m)); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Remove(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCut looks through the open connections for those that lost a right.
func BenchmarkCut(b *testing.B) {
	nettest.NeedNamespace(b)
	m := crowd(10000)
	for b.Loop() {
		if _, err := Cut([]*policy.Policy{nil}, policy.New(m.Rules)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	m := crowd(10000)
	for b.Loop() {
		Compile(m)
	}
}
