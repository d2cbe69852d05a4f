package cell

import (
	"net/netip"
	"testing"
)

func TestNobodyTakesAllConnections(t *testing.T) {
	var c crowd
	a, b := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("192.168.1.8")
	for n := range crowdFrom {
		if !c.enter(a) {
			t.Fatalf("connection %d was refused", n)
		}
	}
	if c.enter(a) {
		t.Error("one address has more than its share")
	}
	if !c.enter(b) {
		t.Error("another address was refused")
	}
	c.leave(a)
	if !c.enter(a) {
		t.Error("a place that was left is not free")
	}
	for range 2 * crowdAll {
		c.enter(netip.MustParseAddr("127.0.0.1"))
	}
	if c.all != crowdAll {
		t.Errorf("%d connections", c.all)
	}
	for range crowdFrom {
		c.leave(a)
	}
	if c.from[a] != 0 || len(c.from) != 2 {
		t.Errorf("left: %v", c.from)
	}
}
