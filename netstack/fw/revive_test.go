package fw

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// A connection to the cell that was ended does not come back by what the cell
// still has to say on it: the kernel takes any packet of TCP for the beginning of
// a connection.
func TestWhatTheCellSaysRevivesNothing(t *testing.T) {
	m := full()
	m.Exits, m.NewRate, m.SynRate = nil, 0, 0
	m.Rules.Peers = m.Rules.Peers[:2]
	p := &m.Rules.Peers[0]
	p.Services = []string{"mail"}
	f, sides := streets(t, m)
	peer, cell := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.1")
	settle(t, nettest.New(t).Self(), sides, "pic0", peer)
	old := policy.New(m.Rules)
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(cell, 993).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var client net.Conn
	err = sides["pic0"].Do(func() (err error) {
		d := net.Dialer{Timeout: 3 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer, 0))}
		client, err = d.Dial("tcp", l.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	hears := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, _ := c.Read(make([]byte, 1))
		return n > 0
	}
	if _, err := server.Write([]byte("a")); err != nil || !hears(client) {
		t.Fatal("the connection does not work", err)
	}

	m.Rules.Peers = append([]policy.Peer(nil), m.Rules.Peers...)
	m.Rules.Peers[0].Services = []string{"dns"}
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	if n, err := Cut([]*policy.Policy{old}, policy.New(m.Rules)); n == 0 || err != nil {
		t.Fatalf("%d connections ended, %v", n, err)
	}
	if _, err := server.Write([]byte("b")); err != nil {
		t.Fatal(err)
	}
	if hears(client) {
		t.Error("the device still hears the service")
	}
	if _, err := client.Write([]byte("c")); err == nil && hears(server) {
		t.Error("the service still hears the device")
	}
}
