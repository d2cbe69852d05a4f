package datagram

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A pupil asks several questions and tells what it heard.
type pupil struct {
	net.Conn
	heard []string
}

func (p *pupil) listen(t *testing.T, n int) {
	t.Helper()
	b := make([]byte, 2048)
	p.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range n {
		k, err := p.Read(b)
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(p.heard), n, err)
		}
		p.heard = append(p.heard, string(b[:k]))
	}
}

func dial(t *testing.T, to string) *pupil {
	t.Helper()
	c, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &pupil{Conn: c}
}

// collect reads a batch, which has n packets as they were sent over loopback.
func collect(t *testing.T, b *Batch, n int) []*Packet {
	t.Helper()
	got, err := b.Read()
	if err != nil || len(got) != n {
		t.Fatalf("%d packets of %d, %v", len(got), n, err)
	}
	return got
}

// Replies of one length to one client are one message for the kernel, and the
// client sees nothing of it: of v4 and v6, of several clients, addresses and
// lengths in one batch.
func TestRepliesOfOneLengthAreOneMessage(t *testing.T) {
	nettest.NeedNamespace(t)
	lo2(t)
	pc, err := net.ListenPacket("udp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	b := Wrap(pc).Batch(64, 64)
	if !b.able {
		t.Fatal("this kernel cannot")
	}
	port := pc.LocalAddr().(*net.UDPAddr).Port
	var pupils []*pupil
	for _, a := range []string{"127.0.0.1", "192.0.2.1", "[::1]", "[fd00::1]", "127.0.0.1"} {
		pupils = append(pupils, dial(t, fmt.Sprintf("%s:%d", a, port)))
	}
	const each = 12
	for i := range each {
		for k, p := range pupils {
			fmt.Fprintf(p, "%d:%02d", k, i)
		}
	}
	reply := func(said []byte) []byte {
		n := 10 + 7*(int(said[3]-'0')%3) // three lengths
		return append(bytes.Clone(said), bytes.Repeat([]byte{'.'}, n)...)
	}
	for _, able := range []bool{true, false} {
		if b.able = able; !able {
			for i := range each {
				for k, p := range pupils {
					fmt.Fprintf(p, "%d:%02d", k, i)
				}
			}
		}
		for _, p := range collect(t, b, each*len(pupils)) {
			b.Reply(reply(p.Data), p)
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		if want := 3 * len(pupils); able && b.count != want {
			t.Errorf("%d messages for the kernel, not %d", b.count, want)
		} else if !able && b.count != each*len(pupils) {
			t.Errorf("%d messages for a kernel that does not cut", b.count)
		}
		for k, p := range pupils {
			p.heard = nil
			p.listen(t, each)
			last := map[int]string{} // by length
			seen := map[string]bool{}
			for _, s := range p.heard {
				if want := string(reply([]byte(s[:4]))); s != want || s[0] != byte('0'+k) || seen[s] {
					t.Errorf("client %d heard %q, not %q, or twice", k, s, want)
				}
				if s < last[len(s)] {
					t.Errorf("client %d heard %q after %q", k, s, last[len(s)])
				}
				last[len(s)], seen[s] = s, true
			}
		}
	}
}

// What is longer than the kernel takes at once goes out in several messages.
func TestManyLongRepliesAreSeveralMessages(t *testing.T) {
	b, c := pair(t, 100, 16)
	const n = 100
	for i := range n {
		c.Write([]byte{byte(i)})
	}
	for _, p := range collect(t, b, n) {
		b.Reply(bytes.Repeat(p.Data, 1232), p)
	}
	c.SetReadBuffer(1 << 20)
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if b.count < 3 || b.count > 5 {
		t.Errorf("%d messages", b.count)
	}
	buf := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i := range n {
		if k, err := c.Read(buf); err != nil || k != 1232 || buf[0] != byte(i) {
			t.Fatalf("reply %d: %d bytes of %d, %v", i, k, buf[0], err)
		}
	}
}

// Where the way to a client cannot carry what is to be cut, all go out alone, at
// once and for a while.
func TestRepliesGoOutAloneWhereTheyMust(t *testing.T) {
	host := nettest.New(t).Host("tight")
	host.Run(t, nettest.Tool(t, "ip"), "link", "set", "lo", "mtu", "600")
	var pc net.PacketConn
	var p *pupil
	err := host.Do(func() (err error) {
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err == nil {
			p = dial(t, pc.LocalAddr().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	b := Wrap(pc).Batch(8, 16)
	round := func(size int, later time.Duration) {
		t.Helper()
		for i := range 4 {
			fmt.Fprintf(p, "%d", i)
		}
		for _, k := range collect(t, b, 4) {
			k.At = k.At.Add(later)
			b.Reply(bytes.Repeat(k.Data, size), k)
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		p.heard = nil
		p.listen(t, 4)
		for i, s := range p.heard {
			if want := string(bytes.Repeat([]byte{byte('0' + i)}, size)); s != want {
				t.Errorf("reply %d of %d bytes is %.5q", i, size, s)
			}
		}
	}
	round(500, 0)
	if !b.apart.IsZero() {
		t.Error("it gave up where nothing stood in the way")
	}
	round(1000, 0)
	if b.apart.IsZero() {
		t.Error("it will try the next as well")
	}
	round(500, 0)
	if b.count != 4 {
		t.Error("it tried the next as well")
	}
	round(500, 2*apartFor)
	if !b.apart.IsZero() || b.count != 1 {
		t.Error("it gave up for ever")
	}
}

// A client that nothing can be sent to says nothing about others.
func TestNobodysAddressDoesNotPartOthers(t *testing.T) {
	b, c := pair(t, 8, 16)
	for i := range 4 {
		c.Write([]byte{byte(i)})
	}
	got := collect(t, b, 4)
	for _, p := range got[:2] {
		p.slot.name.Port = 0
		p.From = netip.AddrPortFrom(p.From.Addr(), 0)
	}
	for _, p := range got {
		b.Reply([]byte{'r', p.Data[0]}, p)
	}
	if err := b.Flush(); err == nil {
		t.Error("there is no port 0")
	}
	if !b.apart.IsZero() || b.suspect {
		t.Error("others go out alone now")
	}
	p := &pupil{Conn: c}
	p.listen(t, 2)
	if p.heard[0] != "r\x02" || p.heard[1] != "r\x03" {
		t.Errorf("heard %q", p.heard)
	}
}
