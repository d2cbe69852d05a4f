package netstack

import (
	"net/netip"
	"strings"
	"testing"

	"pic/internal/nettest"
)

func TestNeighboursAreThoseOfTheKernel(t *testing.T) {
	lab := nettest.New(t)
	cell, tablet := lab.Self(), lab.Host("tablet")
	lab.Link(cell, "lan0", "192.0.2.1/24", tablet, "eth0", "192.0.2.2/24")
	tablet.Addr("eth0", "2001:db8::2/64")
	cell.Addr("lan0", "2001:db8::1/64")
	for _, to := range []string{"192.0.2.1", "2001:db8::1"} {
		tablet.Run(t, "ping", "-c1", "-W2", to)
	}
	_, rest, _ := strings.Cut(tablet.Run(t, "ip", "-o", "link", "show", "eth0"), "link/ether ")
	mac, _, _ := strings.Cut(rest, " ")
	cell.Try("ping", "-c1", "-W1", "192.0.2.99") // nobody: an entry that failed
	got, err := Neighbours()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.2", "2001:db8::2"} {
		if got[netip.MustParseAddr(a)] != mac {
			t.Errorf("%s has %q, want %q", a, got[netip.MustParseAddr(a)], mac)
		}
	}
	if m, ok := got[netip.MustParseAddr("192.0.2.99")]; ok {
		t.Errorf("nobody has %q", m)
	}
}
