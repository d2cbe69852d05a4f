package userspace

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// A service at a port from which the stack opens connections, too, is for those who
// have the right to it; answers to the cell itself come in all the same.
func TestServicesAtHighPortsAskThePolicy(t *testing.T) {
	cell := open(t, []netip.Addr{fourA}, []netip.Addr{fourB})
	peer := open(t, []netip.Addr{fourB}, []netip.Addr{fourA})
	carry(t, cell, peer, kind)
	carry(t, peer, cell, kind)
	const port = firstFree + 4321
	at := netip.AddrPortFrom(fourA, port)
	heard := make(chan string, 100)
	srv, err := cell.ListenUDP(at)
	if err != nil {
		t.Fatal(err)
	}
	hear := func(c net.PacketConn) {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
			c.WriteTo([]byte("answer"), from)
		}
	}
	go hear(srv)
	c, err := peer.Dial(t.Context(), "udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() bool {
		c.Write([]byte("question"))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := c.Read(make([]byte, 100))
		return err == nil
	}
	if nettest.WaitFor(t, 5*time.Second, ask); len(heard) == 0 {
		t.Fatal("who may reach it does not")
	}
	tcp, err := cell.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 100)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					heard <- string(buf[:n])
				}
			}()
		}
	}()
	stream, err := peer.Dial(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()

	cell.Obey(policy.New(policy.Rules{Cell: []netip.Addr{fourA}, Peers: []policy.Peer{{Name: "other", Addrs: []netip.Addr{fourB}, Services: []string{"none"}}}}))
	for len(heard) > 0 {
		<-heard
	}
	if ask() || len(heard) > 0 {
		t.Error("who has lost the right to a UDP service reaches it")
	}
	stream.Write([]byte("still there"))
	select {
	case what := <-heard:
		t.Errorf("who has lost the right to a TCP service reaches it: %s", what)
	case <-time.After(200 * time.Millisecond):
	}

	// What the cell itself asks is answered.
	theirs, err := peer.ListenUDP(netip.AddrPortFrom(fourB, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	go hear(theirs)
	own, err := cell.Dial(t.Context(), "udp", netip.AddrPortFrom(fourB, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	nettest.WaitFor(t, 5*time.Second, func() bool {
		own.Write([]byte("question"))
		own.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := own.Read(make([]byte, 100))
		return err == nil
	})
	srv.Close()
	tcp.Close()
	if cell.served.has(policy.UDP, port) || cell.served.has(policy.TCP, port) {
		t.Error("a closed listener is remembered")
	}
}

// A defect while a flow is opened does not keep the stack from ending.
func TestFlowThatPanicsEnds(t *testing.T) {
	n := open(t, []netip.Addr{fourA}, []netip.Addr{fourB})
	n.Obey(policy.New(policy.Rules{
		Cell: []netip.Addr{fourA}, Peers: []policy.Peer{{Name: "other", Addrs: []netip.Addr{fourB}, Internet: true}},
	}))
	for range 3 {
		f := n.out.begin(policy.Flow{Src: fourB, Dst: netip.MustParseAddr("198.51.100.2"), Proto: policy.TCP, Port: 80}, 1234)
		if f == nil {
			t.Fatal("the flow is not allowed")
		}
		func() {
			defer n.out.recover()
			n.out.within(f, func() bool { panic("a defect") })
		}()
		if f.ctx.Err() == nil || len(n.out.flows) != 0 || len(n.out.count) != 0 {
			t.Errorf("it is still there: %d flows", len(n.out.flows))
		}
	}
	done := make(chan struct{})
	go func() { n.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for a flow that is gone")
	}
}
