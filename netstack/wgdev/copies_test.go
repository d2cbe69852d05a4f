package wgdev

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// copies sends so much each way, over IPv4 and IPv6, and compares digests.
func (p *pair) copies(t *testing.T, size int) {
	t.Helper()
	for _, to := range []string{"10.9.0.2:5000", "[fd09::2]:5000"} {
		var ln net.Listener
		if err := p.far.Do(func() (err error) {
			ln, err = net.Listen("tcp", to)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out, back := make([]byte, size), make([]byte, size)
		rand.Read(out)
		rand.Read(back)
		got := make(chan [32]byte, 1)
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(2 * time.Minute))
			h := sha256.New()
			io.CopyN(h, c, int64(size))
			c.Write(back)
			got <- [32]byte(h.Sum(nil))
		}()
		c, err := net.DialTimeout("tcp", to, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		if _, err := c.Write(out); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		in := make([]byte, size)
		if _, err := io.ReadFull(c, in); err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if !bytes.Equal(in, back) || <-got != sha256.Sum256(out) {
			t.Errorf("%s: what arrived is not what was sent", to)
		}
	}
}

const copySize = 30 << 20

func TestRealPeerGetsWhatIsSentAndSendsBack(t *testing.T) {
	for at, size := range map[string]int{"192.0.2.2:7000": copySize, "[2001:db8::2]:7000": copySize / 6} {
		t.Run(at, func(t *testing.T) {
			p := newPair(t, at, Options{})
			p.copies(t, size)
			// As long as the interface allows, in one piece.
			p.self.Run(t, "ping", "-c2", "-W5", "-M", "do", "-s", "1392", "10.9.0.2")
			p.self.Run(t, "ping", "-c2", "-W5", "-M", "do", "-s", "1372", "fd09::2")
			// Many that are small.
			p.far.Run(t, "ping", "-q", "-f", "-c", "2000", "-s", "36", "10.9.0.1")
		})
	}
}

// A relay that loses, doubles and delays datagrams stands for the worst of
// networks.
func TestBadNetworkOnlyCostsTime(t *testing.T) {
	p := newPair(t, "192.0.2.1:9999", Options{})
	relay, err := net.ListenPacket("udp4", "192.0.2.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	ours, theirs := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.2:7000")
	var lost, doubled, late [2]atomic.Int64 // on the way there and back
	go func() {
		var held []byte
		var heldTo netip.AddrPort
		c := relay.(*net.UDPConn)
		b := make([]byte, 1<<16)
		for i := 0; ; i++ {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			to, way := ours, 1
			if from.Port() == ours.Port() {
				to, way = theirs, 0
			}
			switch {
			case i%101 == 7:
				lost[way].Add(1)
				continue
			case i%53 == 5:
				doubled[way].Add(1)
				c.WriteToUDPAddrPort(b[:n], to)
			case i%37 == 3 && held == nil:
				late[way].Add(1)
				held, heldTo = bytes.Clone(b[:n]), to
				continue
			}
			c.WriteToUDPAddrPort(b[:n], to)
			if held != nil && i%37 == 6 {
				c.WriteToUDPAddrPort(held, heldTo)
				held = nil
			}
		}
	}()
	p.copies(t, copySize)
	for way, name := range []string{"there", "back"} {
		l, d, o := lost[way].Load(), doubled[way].Load(), late[way].Load()
		if t.Logf("%s: %d lost, %d doubled, %d late", name, l, d, o); min(l, d, o) < 100 {
			t.Errorf("the network was too good")
		}
	}
}
