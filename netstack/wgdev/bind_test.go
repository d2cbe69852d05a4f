package wgdev

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"pic/internal/nettest"
)

// packets are as WireGuard hands them over: with room behind.
func packets(sizes ...int) [][]byte {
	var out [][]byte
	for i, n := range sizes {
		b := make([]byte, n, 1<<16)
		for j := range b {
			b[j] = byte(i + j)
		}
		out = append(out, b)
	}
	return out
}

// collect reads packets until there are n.
func collect(t *testing.T, fn conn.ReceiveFunc, batch, n int) (got [][]byte, from conn.Endpoint) {
	t.Helper()
	bufs, sizes, eps := make([][]byte, batch), make([]int, batch), make([]conn.Endpoint, batch)
	for i := range bufs {
		bufs[i] = make([]byte, 1<<16)
	}
	for len(got) < n {
		k, err := fn(bufs, sizes, eps)
		if err != nil {
			t.Fatal(err)
		}
		if k == 0 || k > batch {
			t.Fatalf("%d packets at once", k)
		}
		for i := range k {
			got = append(got, bytes.Clone(bufs[i][:sizes[i]]))
			from = eps[i]
		}
	}
	return got, from
}

func openBind(t *testing.T, batch int) (b *bind, fns []conn.ReceiveFunc, port uint16) {
	t.Helper()
	b = newBind(batch, nil, nil)
	fns, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, s := range []*side{b.four, b.six} {
		s.udp.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	return b, fns, port
}

func TestBindMovesPacketsWholeAndInOrder(t *testing.T) {
	nettest.NeedNamespace(t)
	many := make([]int, 200)
	for i := range many {
		many[i] = 1420
	}
	for name, sizes := range map[string][]int{
		"one":          {148},
		"equal":        {1420, 1420, 1420, 1420, 1420, 1420, 1420, 1420},
		"short at end": {1420, 1420, 1420, 100},
		"mixed":        {100, 1420, 1420, 32, 32, 32, 700, 1420, 0, 5},
		"long run":     many,
	} {
		for i, host := range []string{"127.0.0.1", "::1"} {
			for _, batch := range []int{1, 3, 64} {
				for _, split := range []bool{true, false} {
					a, _, _ := openBind(t, batch)
					b, fns, port := openBind(t, batch)
					a.four.split.Store(split && a.four.split.Load())
					a.six.split.Store(split && a.six.split.Load())
					ep, err := a.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
					if err != nil {
						t.Fatal(err)
					}
					want := packets(sizes...)
					sent := make(chan error, 1)
					go func() { sent <- a.Send(packets(sizes...), ep) }()
					got, _ := collect(t, fns[i], batch, len(want))
					if err := <-sent; err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for j := range want {
						if !bytes.Equal(got[j], want[j]) {
							t.Fatalf("%s, %s, batches of %d, split %v: packet %d has %d bytes in place of %d, or others", name, host, batch, split, j, len(got[j]), len(want[j]))
						}
					}
					b.Close()
					if _, err := fns[i](make([][]byte, 1), make([]int, 1), make([]conn.Endpoint, 1)); !errors.Is(err, net.ErrClosed) {
						t.Errorf("after close: %v", err)
					}
					a.Close()
				}
			}
		}
	}
}

// A peer behind a NAT must hear from the address that it has called.
func TestBindAnswersFromTheAddressThatWasCalled(t *testing.T) {
	lab := nettest.New(t)
	self, far := lab.Self(), lab.Host("far")
	lab.Link(self, "veth-b", "192.0.2.1/24", far, "eth0", "192.0.2.9/24")
	self.Addr("veth-b", "192.0.2.2/24")
	self.Addr("veth-b", "2001:db8::1/64")
	self.Addr("veth-b", "2001:db8::2/64")
	far.Addr("eth0", "2001:db8::9/64")
	b, fns, port := openBind(t, 16)
	for i, host := range []string{"192.0.2.2", "2001:db8::2"} {
		var c net.Conn
		err := far.Do(func() (err error) {
			c, err = net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_, from := collect(t, fns[i], 16, 1)
		if from.SrcIP().String() != host || from.SrcToString() != host {
			t.Errorf("called at %s, not %s", from.SrcToString(), host)
		}
		if err := b.Send(packets(5, 5, 5, 2), from); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{5, 5, 5, 2} { // a connected socket takes only what comes from host
			buf := make([]byte, 100)
			if got, err := c.Read(buf); err != nil || got != n {
				t.Fatalf("answer of %d bytes, %v", got, err)
			}
		}
		self.Run(t, "ip", "addr", "del", netip.PrefixFrom(netip.MustParseAddr(host), map[bool]int{true: 24, false: 64}[i == 0]).String(), "dev", "veth-b")
		if err := b.Send(packets(5, 5), from); err != nil {
			t.Errorf("after %s is gone: %v", host, err)
		}
		if from.SrcIP().IsValid() {
			t.Errorf("still wants to send from %s", from.SrcIP())
		}
	}
}

func TestBindPortsAreOpenedAndTakenTogether(t *testing.T) {
	nettest.NeedNamespace(t)
	b, _, port := openBind(t, 1)
	if _, _, err := b.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("second open: %v", err)
	}
	if err := Free(port); err == nil {
		t.Error("the port is free for others")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	six, err := net.ListenPacket("udp6", fmt.Sprintf("[::1]:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(port); err == nil {
		t.Error("opened on a port that is taken for IPv6")
	}
	six.Close()
	if _, got, err := b.Open(port); err != nil || got != port {
		t.Errorf("open after all are gone: %d, %v", got, err)
	}
	if err := b.Send(packets(1), &conn.StdNetEndpoint{}); !errors.Is(err, conn.ErrWrongEndpointType) {
		t.Errorf("foreign endpoint: %v", err)
	}
	if _, err := b.ParseEndpoint("oak:1"); err == nil {
		t.Error("a name is an endpoint")
	}
}

// Control messages come from the kernel, but a run must be cut with care.
func FuzzControl(f *testing.F) {
	f.Add(append(pktinfo(netip.MustParseAddr("192.0.2.1")), appendSegment(nil, 1420)...))
	f.Add(pktinfo(netip.MustParseAddr("2001:db8::1")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, oob []byte) {
		size, to := control(oob)
		if size < 0 || size > 1<<16 {
			t.Errorf("size %d", size)
		}
		if to.IsValid() && (to.IsUnspecified() || to.IsLinkLocalUnicast()) {
			t.Errorf("source %s", to)
		}
	})
}
