package policy

import (
	"net/netip"
	"testing"
	"time"

	"pic/core/config"
)

var (
	client1 = netip.MustParseAddr("192.168.1.20")
	noon    = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday
)

func never(string) bool { return false }

func wire(t testing.TB, name string) string {
	t.Helper()
	w, ok := wireOf(name)
	if !ok {
		t.Fatalf("%q is no name", name)
	}
	return w
}

func must(t testing.TB, c Config) *compiled {
	t.Helper()
	c.Filter.Enabled = new(true)
	k, err := compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func filter(f config.Filter) Config { return Config{Filter: f} }
