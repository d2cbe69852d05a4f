package userspace

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A street is a cell, a peer of it and a host in the internet.
type street struct {
	cell, peer *Net
	far        *nettest.Host
	rules      policy.Rules
}

func newStreet(t *testing.T) *street {
	nettest.NeedNamespace(t)
	lab := nettest.New(t)
	s := &street{far: lab.Host("far")}
	lab.Link(lab.Self(), "wan0", "198.51.100.1/24", s.far, "eth0", "198.51.100.2/24")
	lab.Self().Addr("wan0", "2001:db8:9::1/64")
	s.far.Addr("eth0", "2001:db8:9::2/64")
	own := []netip.Addr{fourA, sixA}
	s.rules = policy.Rules{
		Cell: own, Host: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
		VPN:   []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24"), netip.MustParsePrefix("fd77::/64")},
		Peers: []policy.Peer{{Name: "phone", Addrs: []netip.Addr{fourB, sixB}, Internet: true}},
	}
	var prefixes []netip.Prefix
	for _, a := range own {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	var err error
	if s.cell, err = New(slog.New(slog.DiscardHandler), prefixes, 1420); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cell.Close() })
	s.cell.Obey(policy.New(s.rules))
	s.peer = open(t, []netip.Addr{fourB, sixB}, []netip.Addr{fourA, sixA})
	// The peer takes answers from everybody.
	s.peer.Obey(policy.New(policy.Rules{Cell: []netip.Addr{fourB, sixB}, Peers: []policy.Peer{{
		Name: "all", Addrs: append(own, netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8:9::2")), Services: []string{"all"},
	}}}))
	carry(t, s.cell, s.peer, kind)
	carry(t, s.peer, s.cell, kind)
	return s
}

func (s *street) dial(t *testing.T, network, to string) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := s.peer.Dial(ctx, network, netip.MustParseAddrPort(to))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, nil
}

func (s *street) listen(t *testing.T, at string) net.Listener {
	t.Helper()
	var ln net.Listener
	if err := s.far.Do(func() (err error) {
		ln, err = net.Listen("tcp", at)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestHalfOfAConnectionMayEnd(t *testing.T) {
	s := newStreet(t)
	for _, at := range []string{"198.51.100.2:80", "[2001:db8:9::2]:80"} {
		ln := s.listen(t, at)
		c, err := s.dial(t, "tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		question := strings.Repeat("ask", 100_000)
		go func() {
			io.WriteString(c, question)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(far)
		if err != nil || string(got) != question {
			t.Fatalf("%s: %d bytes arrived, %v", at, len(got), err)
		}
		io.WriteString(far, "answer")
		far.Close()
		if got, err = io.ReadAll(c); err != nil || string(got) != "answer" {
			t.Errorf("%s: answered %q, %v", at, got, err)
		}
		nettest.WaitFor(t, 5*time.Second, func() bool { return s.flows() == 0 })
	}
}

func (s *street) flows() int {
	s.cell.out.mu.Lock()
	defer s.cell.out.mu.Unlock()
	return len(s.cell.out.flows)
}

func TestRefusalsAreTold(t *testing.T) {
	s := newStreet(t)
	told := make(chan []byte, 10)
	s.peer.link.Attach(tap{*s.peer.link.dispatcher.Load(), told})
	refused := func(what, to string) {
		t.Helper()
		if _, err := s.dial(t, "tcp", to); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("TCP %s: %v", what, err)
		}
		c, err := s.dial(t, "udp", to)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("who?"))
		local, remote := c.LocalAddr().(*net.UDPAddr), c.RemoteAddr().(*net.UDPAddr)
		select {
		case msg := <-told:
			head, kind := header.IPv4MinimumSize, []byte{3, 3}
			if remote.IP.To4() == nil {
				head, kind = header.IPv6MinimumSize, []byte{1, 4}
			}
			u := header.UDP(msg[8+head:])
			if !bytes.Equal(msg[:2], kind) || int(u.SourcePort()) != local.Port || int(u.DestinationPort()) != remote.Port {
				t.Errorf("UDP %s: told % x", what, msg)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("UDP %s: told nothing", what)
		}
	}
	refused("where nobody listens", "198.51.100.2:53")
	refused("where nobody listens", "[2001:db8:9::2]:53")
	s.rules.Peers[0].Internet = false
	s.cell.Obey(policy.New(s.rules))
	refused("without the right", "198.51.100.2:53")
	refused("without the right", "[2001:db8:9::2]:53")
}

// A tap notes the ICMP messages that a stack gets.
type tap struct {
	stack.NetworkDispatcher
	icmp chan []byte
}

func (w tap) DeliverNetworkPacket(proto tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	v := p.ToView()
	b := v.AsSlice()
	switch {
	case b[0]>>4 == 4 && b[9] == policy.ICMP:
		w.icmp <- bytes.Clone(b[header.IPv4MinimumSize:])
	case b[0]>>4 == 6 && b[6] == policy.ICMPv6:
		w.icmp <- bytes.Clone(b[header.IPv6MinimumSize:])
	}
	v.Release()
	w.NetworkDispatcher.DeliverNetworkPacket(proto, p)
}

func TestConnectionsEndWithTheRight(t *testing.T) {
	s := newStreet(t)
	ln := s.listen(t, "198.51.100.2:80")
	c, err := s.dial(t, "tcp", "198.51.100.2:80")
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	io.WriteString(c, "x")
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.rules.Peers[0].Internet = false
	s.cell.Obey(policy.New(s.rules))
	for name, end := range map[string]net.Conn{"peer": c, "far end": far} {
		end.SetReadDeadline(time.Now().Add(time.Second))
		var late net.Error
		if _, err := end.Read(make([]byte, 1)); err == nil || errors.As(err, &late) && late.Timeout() {
			t.Errorf("the %s after the right is gone: %v", name, err)
		}
	}

	// To the cell itself as well.
	s.rules.Services = []policy.Service{{Name: "web", Ports: []policy.Port{{Proto: policy.TCP, Number: 80}}}}
	s.rules.Peers[0].Services = []string{"web"}
	s.cell.Obey(policy.New(s.rules))
	own, err := s.cell.ListenTCP(netip.AddrPortFrom(fourA, 80))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if c, err = s.dial(t, "tcp", "10.77.0.1:80"); err != nil {
		t.Fatal(err)
	}
	served, err := own.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.rules.Peers[0].Services = nil
	s.cell.Obey(policy.New(s.rules))
	io.WriteString(c, "x")
	served.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, _ := served.Read(make([]byte, 1)); n != 0 {
		t.Error("the cell still listens to a peer that may not use the service")
	}
}

func TestOnePeerCannotHaveAllFlows(t *testing.T) {
	s := newStreet(t)
	f := policy.Flow{Src: fourB, Dst: netip.MustParseAddr("198.51.100.2"), Proto: policy.UDP, Port: 99}
	var held []*flow
	for range maxPeer {
		w := s.cell.out.begin(f, 1)
		if w == nil {
			t.Fatalf("only %d flows", len(held))
		}
		held = append(held, w)
	}
	if s.cell.out.begin(f, 1) != nil {
		t.Error("a peer has more flows than one may")
	}
	f.Src = sixB
	f.Dst = netip.MustParseAddr("2001:db8:9::2")
	other := s.cell.out.begin(f, 1)
	if other == nil {
		t.Fatal("another address has none")
	}
	for _, w := range append(held, other) {
		s.cell.out.end(w)
	}
	if n := len(s.cell.out.count); n != 0 {
		t.Errorf("%d peers are counted without flows", n)
	}
}

func TestDatagramsKeepTheirBounds(t *testing.T) {
	s := newStreet(t)
	var far net.PacketConn
	if err := s.far.Do(func() (err error) {
		far, err = net.ListenPacket("udp", "198.51.100.2:9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := far.ReadFrom(b)
			if err != nil {
				return
			}
			far.WriteTo(b[:n], from)
		}
	}()
	c, err := s.dial(t, "udp", "198.51.100.2:9")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 1392, 1393, 8000, 60000} { // the larger ones in pieces
		want := bytes.Repeat([]byte{byte(size)}, size)
		if _, err := c.Write(want); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		b := make([]byte, 1<<16)
		n, err := c.Read(b)
		if err != nil || !bytes.Equal(b[:n], want) {
			t.Errorf("of %d bytes %d came back, %v", size, n, err)
		}
	}
}

// Pings pass where the host lets the process send them, and else vanish.
func TestPingsPassWhereTheHostAllows(t *testing.T) {
	s := newStreet(t)
	answers := make(chan []byte, 10)
	s.peer.link.Attach(tap{*s.peer.link.dispatcher.Load(), answers})
	send := func(src, dst netip.Addr, seq uint16) {
		msg := []byte{byte(header.ICMPv4Echo), 0, 0, 0, 0x12, 0x34, byte(seq >> 8), byte(seq), 'p', 'i', 'c'}
		if dst.Is6() {
			msg[0] = byte(header.ICMPv6EchoRequest)
		}
		s.peer.sendICMP(src, dst, msg)
	}
	for i, c := range []struct{ src, dst netip.Addr }{
		{fourB, netip.MustParseAddr("198.51.100.2")}, {sixB, netip.MustParseAddr("2001:db8:9::2")},
	} {
		nettest.New(t).Self().Sysctl("net.ipv4.ping_group_range", "1 0")
		send(c.src, c.dst, 1)
		select {
		case p := <-answers:
			t.Errorf("an answer without a ping: % x", p)
		case <-time.After(50 * time.Millisecond):
		}
		nettest.New(t).Self().Sysctl("net.ipv4.ping_group_range", "0 0")
		for seq := uint16(2); seq < 4; seq++ {
			send(c.src, c.dst, seq)
			select {
			case p := <-answers:
				if p[0] != byte(header.ICMPv4EchoReply) && p[0] != byte(header.ICMPv6EchoReply) {
					t.Errorf("%s: told % x", c.dst, p)
				}
				if id, got := binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(p[6:]); id != 0x1234 || got != seq || string(p[8:]) != "pic" {
					t.Errorf("%s: answer % x", c.dst, p)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("no answer from %s", c.dst)
			}
		}
		if n := s.flows(); n != i+1 {
			t.Errorf("%d conversations", n)
		}
	}
	s.rules.Peers[0].Internet = false
	s.cell.Obey(policy.New(s.rules))
	nettest.WaitFor(t, 5*time.Second, func() bool { return s.flows() == 0 })
	send(fourB, netip.MustParseAddr("198.51.100.2"), 9)
	select {
	case p := <-answers:
		t.Errorf("an answer without the right: % x", p)
	case <-time.After(50 * time.Millisecond):
	}
}
