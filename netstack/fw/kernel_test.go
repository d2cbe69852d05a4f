package fw

import (
	"bytes"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// A set of many peers must arrive whole: the library is known to truncate.
func TestThousandsOfPeersAreAllInTheSets(t *testing.T) {
	nettest.NeedNamespace(t)
	m := household()
	m.Rules.VPN, m.Rules.Peers = nets("10.128.0.0/9"), nil
	a := netip.MustParseAddr("10.128.0.1")
	for range 5000 {
		a = a.Next()
		m.Rules.Peers = append(m.Rules.Peers, policy.Peer{Addrs: []netip.Addr{a}, Internet: true})
	}
	var f Firewall
	start := time.Now()
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d elements loaded and counted in %v", len(m.Rules.Peers), time.Since(start))
	out, err := exec.Command(nettest.Tool(t, "nft"), "list", "set", "inet", "pic", "internet4").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out, []byte("10.128.")); n != 5000 {
		t.Errorf("%d elements", n)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
}
