package netstack

import (
	"net/netip"
	"testing"
	"time"

	"pic/netstack/policy"
)

// In user space, too, a connection to a service ends with the right to it.
func TestRevokedServiceEndsInUserSpace(t *testing.T) {
	a := newLad(t, "a", 2)
	s, c, public := cell(t, a.peer())
	l, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, l)
	a.connect(t, public, 51820)
	conn := a.dial(t, "tcp", "10.77.0.1:80")
	says := func() bool {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		b := make([]byte, 1)
		if _, err := conn.Write([]byte("x")); err != nil {
			return false
		}
		n, _ := conn.Read(b)
		return n == 1
	}
	if !says() {
		t.Fatal("the service does not answer")
	}
	c.Rules.Peers = []policy.Peer{{Name: "a", Addrs: a.addrs, Services: []string{"none"}}}
	apply(t, s, c)
	if says() {
		t.Error("the connection goes on")
	}
}
