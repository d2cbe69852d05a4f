package datagram

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pic/internal/nettest"
)

// parrot serves pc in batches until it is closed: the reply is the address asked
// and what was said.
func parrot(t *testing.T, pc net.PacketConn, n int) {
	t.Helper()
	b := Wrap(pc).Batch(n, 2048)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			got, err := b.Read()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("it ended with %v", err)
				}
				return
			}
			for _, p := range got {
				if late := time.Since(p.At); late < 0 || late > time.Minute {
					t.Errorf("arrived %v ago", late)
				}
				b.Reply(fmt.Appendf(nil, "%s %s", p.To, p.Data), p)
			}
			if err := b.Flush(); err != nil {
				t.Logf("flush: %v", err)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
}

func TestBatchesAreRepliedToFromTheAddressAsked(t *testing.T) {
	nettest.NeedNamespace(t)
	lo2(t)
	for name, tt := range map[string]struct {
		network, listen string
		asked           []string
	}{
		"dual":   {"udp", "[::]:0", []string{"127.0.0.1", "127.0.0.9", "192.0.2.1", "192.0.2.2", "::1", "fd00::1", "fd00::2"}},
		"v4":     {"udp4", "0.0.0.0:0", []string{"127.0.0.1", "192.0.2.1", "192.0.2.2"}},
		"v6":     {"udp6", "[::]:0", []string{"::1", "fd00::1"}},
		"one v4": {"udp", "192.0.2.2:0", []string{"192.0.2.2"}},
		"one v6": {"udp", "[fd00::2]:0", []string{"fd00::2"}},
	} {
		t.Run(name, func(t *testing.T) {
			pc, err := net.ListenPacket(tt.network, tt.listen)
			if err != nil {
				t.Fatal(err)
			}
			parrot(t, pc, 8)
			port := uint16(pc.LocalAddr().(*net.UDPAddr).Port)
			for _, a := range tt.asked {
				if got := ask(t, netip.AddrPortFrom(netip.MustParseAddr(a), port)); got != a+" ?" {
					t.Errorf("asked %s, it saw %s", a, got)
				}
			}
		})
	}
}

// Each answer is to its own question, in the order in which they came.
func TestBatchesKeepTheirOrder(t *testing.T) {
	for name, wrap := range map[string]func(net.PacketConn) net.PacketConn{
		"kernel": func(pc net.PacketConn) net.PacketConn { return pc },
		"other":  func(pc net.PacketConn) net.PacketConn { return opaque{pc} },
	} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("udp", pc.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const n = 100 // more than a batch takes
		for i := range n {
			// Before anybody reads, so that batches are full.
			fmt.Fprintf(c, "%03d", i)
		}
		parrot(t, wrap(pc), 32)
		b := make([]byte, 64)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for i := range n {
			k, err := c.Read(b)
			if err != nil || string(b[:k]) != fmt.Sprintf("127.0.0.1 %03d", i) {
				t.Fatalf("%s: answer %d is %q, %v", name, i, b[:k], err)
			}
		}
	}
}

// pair is a batch on a loopback socket and a socket connected to it.
func pair(t testing.TB, n, size int) (*Batch, *net.UDPConn) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	c, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return Wrap(pc).Batch(n, size), c.(*net.UDPConn)
}

func TestWhatIsTooLongForABatchIsCut(t *testing.T) {
	b, c := pair(t, 4, 16)
	for _, n := range []int{0, 15, 16, 17, 4000} {
		c.Write(make([]byte, n))
		got, err := b.Read()
		if err != nil || len(got) != 1 || len(got[0].Data) != min(n, 16) {
			t.Fatalf("%d bytes: %v %v", n, got, err)
		}
	}
}

func TestPollDoesNotWait(t *testing.T) {
	b, c := pair(t, 2, 16)
	if got, err := b.Poll(); err != nil || len(got) > 0 || b.Full() {
		t.Fatalf("got %v, %v from nobody", got, err)
	}
	for i := range 3 {
		c.Write([]byte{byte(i)})
	}
	for i, want := range []int{2, 1, 0} {
		got, err := b.Poll()
		if err != nil || len(got) != want || b.Full() != (want == 2) {
			t.Fatalf("poll %d: %d packets, full %v, %v", i, len(got), b.Full(), err)
		}
	}
}

// What cannot be sent to one does not keep others from theirs.
func TestAReplyThatFailsDoesNotStopTheOthers(t *testing.T) {
	b, c := pair(t, 8, 16)
	for i := range 5 {
		c.Write([]byte{byte(i)})
	}
	got, err := b.Read()
	if err != nil || len(got) != 5 {
		t.Fatal(got, err)
	}
	got[0].slot.name.Port, got[3].slot.name.Port = 0, 0 // nowhere
	got[2].slot.name.Family = unix.AF_UNIX              // nonsense
	for _, p := range got {
		b.Reply([]byte{'r', p.Data[0]}, p)
	}
	if err := b.Flush(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v", err)
	}
	buf := make([]byte, 16)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for _, want := range []string{"r\x01", "r\x04"} {
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Errorf("nothing is left, and %v", err)
	}
}

// Whoever is gone when the reply comes is no reason to stop.
func TestErrorsOfFormerRepliesDoNotEndReading(t *testing.T) {
	nettest.NeedNamespace(t)
	for _, name := range []string{"batch", "single"} {
		t.Run(name, func(t *testing.T) {
			pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			conn := Wrap(pc)
			conn.set(unix.IPPROTO_IP, unix.IP_RECVERR, 1) // the kernel tells them all
			gone, err := net.ListenPacket("udp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			to := gone.LocalAddr()
			gone.Close()
			if name == "batch" {
				parrot(t, pc, 4)
			} else {
				echo(t, pc)
			}
			for range 3 {
				for range 4 {
					pc.WriteTo([]byte("nobody"), to)
				}
				ask(t, pc.LocalAddr().(*net.UDPAddr).AddrPort())
			}
		})
	}
}

// A card that is slow makes Flush wait, and nothing is lost.
func TestFlushWaitsForRoom(t *testing.T) {
	lab := nettest.New(t)
	cell, client := lab.Self(), lab.Host("client")
	lab.Link(cell, "slow0", "198.51.100.1/24", client, "eth0", "198.51.100.2/24")
	cell.Run(t, nettest.Tool(t, "tc"), "qdisc", "add", "dev", "slow0", "root", "tbf", "rate", "8mbit", "burst", "3kb", "limit", "10mb")
	pc, err := net.ListenPacket("udp", "198.51.100.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	pc.(*net.UDPConn).SetWriteBuffer(1)
	var c net.Conn
	if err := client.Do(func() error { c, err = net.Dial("udp", pc.LocalAddr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := Wrap(pc).Batch(64, 16)
	const n = 64
	for i := range n {
		c.Write([]byte{byte(i)})
	}
	waited, answered := false, 0
	send := b.send
	b.send = func(fd uintptr) bool {
		ok := send(fd)
		waited = waited || !ok
		return ok
	}
	for answered < n {
		got, err := b.Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got {
			b.Reply(bytes.Repeat(p.Data, 1000), p)
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		answered += len(got)
	}
	buf := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i := range n {
		if k, err := c.Read(buf); err != nil || k != 1000 || buf[0] != byte(i) {
			t.Fatalf("reply %d: %d bytes %v, %v", i, k, buf[:min(k, 1)], err)
		}
	}
	if !waited {
		t.Error("there was always room: this tests nothing")
	}
}

func TestLinkLocalClientsHaveTheirZone(t *testing.T) {
	lab := nettest.New(t)
	cell, client := lab.Self(), lab.Host("client")
	lab.Link(cell, "zone0", "fe80::1/64", client, "eth0", "fe80::2/64")
	pc, err := net.ListenPacket("udp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	parrot(t, pc, 4)
	b := make([]byte, 64)
	nettest.WaitFor(t, 10*time.Second, func() bool {
		err = client.Do(func() error {
			to := fmt.Sprintf("[fe80::1%%eth0]:%d", pc.LocalAddr().(*net.UDPAddr).Port)
			c, err := net.Dial("udp", to)
			if err != nil {
				return err
			}
			defer c.Close()
			c.Write([]byte("?"))
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(b)
			b = b[:max(n, 0)]
			return err
		})
		b = b[:cap(b)]
		return err == nil
	})
	if got := string(bytes.TrimRight(b, "\x00")); got != "fe80::1 ?" {
		t.Errorf("got %q", got)
	}
	bt := Wrap(pc).Batch(1, 1)
	lo, err := net.InterfaceByName("zone0")
	if err != nil {
		t.Fatal(err)
	}
	if got := bt.sender(&unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddr("fe80::2").As16(), Scope_id: uint32(lo.Index)}); got.Addr().Zone() != "zone0" {
		t.Errorf("it came from %v", got)
	}
}

func TestABatchNeedsNoMemory(t *testing.T) {
	for name, listen := range map[string]string{"one address": "127.0.0.1:0", "all": "[::]:0"} {
		pc, err := net.ListenPacket("udp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", pc.LocalAddr().(*net.UDPAddr).Port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b := Wrap(pc).Batch(8, 64)
		buf, out := make([]byte, 64), []byte("answer")
		if n := testing.AllocsPerRun(100, func() {
			c.Write(buf)
			got, err := b.Read()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range got {
				b.Reply(out, p)
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestClosingEndsReadingUnderLoad(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				c.Write([]byte("more"))
			}
		}
	}()
	b := Wrap(pc).Batch(4, 16)
	for i := 0; ; i++ {
		if i == 100 {
			go pc.Close()
		}
		if _, err := b.Read(); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
			break
		}
	}
	close(stop)
	<-stopped
	c.Close()
	if _, err := b.Poll(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("poll: %v", err)
	}
}
