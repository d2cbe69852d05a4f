package netstack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// A device that is removed leaves nothing: not in the table, not in conntrack.
func TestRemovedPeerLeavesNothing(t *testing.T) {
	w := newTown(t)
	peers := w.doc.Peers
	w.doc.Peers = []config.Peer{{Name: "other", PublicKey: pubA, Address: netip.MustParseAddr("10.77.0.9")}}
	s, _ := w.serve(t)
	before := w.table(t)
	w.doc.Peers = append(w.doc.Peers, peers...)
	apply(t, s, w.config())
	w.join(t)
	w.pings(t, "10.77.0.1")
	for _, url := range []string{"http://198.51.100.2/", "http://192.168.1.20/", "http://[2001:db8:9::2]/"} {
		if _, err := w.fetch(url); err != nil {
			t.Error(err)
		}
	}
	entries := func() string {
		return w.self.Run(t, "conntrack", "-L", "-f", "ipv4") + w.self.Run(t, "conntrack", "-L", "-f", "ipv6")
	}
	if open := entries(); !strings.Contains(open, "10.77.0.2") || !strings.Contains(open, "fd77::2") {
		t.Fatalf("conntrack knows nothing of the device:\n%s", open)
	}
	w.doc.Peers = w.doc.Peers[:1]
	apply(t, s, w.config())
	if open := entries(); strings.Contains(open, "10.77.0.2 ") || strings.Contains(open, "fd77::2 ") {
		t.Errorf("conntrack still has:\n%s", open)
	}
	if after := w.table(t); after != before {
		t.Errorf("the table was\n%s\nand is\n%s", before, after)
	}
}

// Taking one right away ends the stream that ran on it, and not its neighbour.
func TestRevokedRightSparesOtherStreams(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	ticks := func(p *nettest.Proc) int { return strings.Count(p.Output(), "tick") }
	out := w.client.Start(t, "curl", "-sSN", "-m", "20", "http://198.51.100.2/slow")
	home := w.client.Start(t, "curl", "-sSN", "-m", "20", "http://192.168.1.20/slow")
	nettest.WaitFor(t, 10*time.Second, func() bool { return ticks(out) > 3 && ticks(home) > 3 })
	w.allow(true, false)
	apply(t, s, w.config())
	n := ticks(out)
	nettest.WaitFor(t, 5*time.Second, func() bool { return ticks(out) > n+20 })
	m := ticks(home)
	n = ticks(out)
	nettest.WaitFor(t, 5*time.Second, func() bool { return ticks(out) > n+20 })
	if ticks(home) != m {
		t.Errorf("the stream that lost its right goes on")
	}
}

// A block at run time holds at once and ends by itself.
func TestBlockShutsOutAndEnds(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.pings(t, "10.77.0.1")
	if err := s.Block(Ban{Net: netip.MustParsePrefix("198.51.100.2/32"), Reason: "test", Until: time.Now().Add(3 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if out, err := w.client.Try("curl", "-sS", "-m", "1", "http://198.51.100.2/"); err == nil {
		t.Errorf("a blocked address answers: %s", out)
	}
	if v := s.Policy().Blocks(netip.MustParseAddr("198.51.100.2")); !v {
		t.Error("the policy does not know of the block")
	}
	nettest.WaitFor(t, 10*time.Second, func() bool {
		_, err := w.fetch("http://198.51.100.2/")
		return err == nil && len(s.Bans()) == 0
	})
}
