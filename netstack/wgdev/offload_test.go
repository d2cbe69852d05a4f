package wgdev

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"pic/netstack/wgdev/stock"
)

// A packetMaker makes packets of TCP and UDP with good checksums.
type packetMaker struct {
	six, udp bool
	flow     byte
	seq      uint32
	flags    byte
	options  int // bytes of TCP options
}

func (m packetMaker) headers() int {
	n := 20
	if m.six {
		n = 40
	}
	if m.udp {
		return n + 8
	}
	return n + 20 + m.options
}

func (m packetMaker) make(payload []byte) []byte {
	b := make([]byte, m.headers()+len(payload))
	ip, proto := 20, byte(unix.IPPROTO_TCP)
	if m.udp {
		proto = unix.IPPROTO_UDP
	}
	addrs := b[12:20]
	if m.six {
		ip, addrs = 40, b[8:40]
		b[0], b[6], b[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	} else {
		b[0], b[8], b[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], 7)
		b[6] = 0x40
	}
	for i := range addrs {
		addrs[i] = byte(i) + m.flow
	}
	if !m.six {
		binary.BigEndian.PutUint16(b[10:], ^fold(slowSum(b[:20])))
	}
	t := b[ip:]
	binary.BigEndian.PutUint16(t, 1000+uint16(m.flow))
	binary.BigEndian.PutUint16(t[2:], 80)
	copy(b[m.headers():], payload)
	at := 6
	if m.udp {
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	} else {
		at = 16
		binary.BigEndian.PutUint32(t[4:], m.seq)
		t[12] = byte(20+m.options) / 4 << 4
		t[13] = m.flags
		binary.BigEndian.PutUint16(t[14:], 5000)
	}
	putSum(t[at:], ^fold(slowSum(addrs)+uint64(proto)+uint64(len(t))+slowSum(t)), m.udp)
	return b
}

// slowSum is RFC 1071 as it is written there.
func slowSum(b []byte) (s uint64) {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint64(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint64(b[len(b)-1]) << 8
	}
	return s
}

// valid reports whether the checksums of a packet are right.
func valid(b []byte) bool {
	f, ok := parseFlow(b)
	if !ok {
		return false
	}
	var addrs []byte
	if f.six {
		addrs = b[8:40]
	} else {
		addrs = b[12:20]
		if fold(slowSum(b[:20])) != 0xffff {
			return false
		}
	}
	t := b[f.ip:]
	return fold(slowSum(addrs)+uint64(f.proto)+uint64(len(t))+slowSum(t)) == 0xffff
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint32(7))
	f.Add(bytes.Repeat([]byte{0xff}, 200), uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, b []byte, to uint32) {
		if got, want := fold(sum(b, uint64(to))), fold(slowSum(b)+uint64(to)); got%0xffff != want%0xffff {
			t.Errorf("%#x, not %#x", got, want)
		}
	})
}

// What the kernel hands over is cut as wireguard-go cuts it, and nothing that it
// could say makes us read or write elsewhere.
func FuzzSplitIsThatOfWireGuard(f *testing.F) {
	for _, six := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			m := packetMaker{six: six, udp: udp, flags: tcpACK | tcpPSH, options: 12}
			pkt := m.make(bytes.Repeat([]byte("payload"), 700))
			b := make([]byte, vnetLen, vnetLen+len(pkt))
			v := vnet{flags: 1, gso: unix.VIRTIO_NET_HDR_GSO_TCPV4, header: uint16(m.headers()), size: 1388, sumFrom: 20, sumAt: 16}
			if six {
				v.gso, v.sumFrom = unix.VIRTIO_NET_HDR_GSO_TCPV6, 40
			}
			if udp {
				v.gso, v.sumAt = unix.VIRTIO_NET_HDR_GSO_UDP_L4, 6
			}
			v.put(b)
			f.Add(append(b, pkt...))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) <= vnetLen+1 || len(in) > 1<<16 {
			return
		}
		v := readVnet(in)
		if v.gso == unix.VIRTIO_NET_HDR_GSO_NONE {
			_ = complete(v, bytes.Clone(in[vnetLen:]))
			return
		}
		const offset, room = 16, 1 << 16
		var got [][]byte
		s, err := newSegments(v, bytes.Clone(in[vnetLen:]))
		if err == nil {
			out := make([]byte, room)
			for s.more() && len(got) < 64 {
				n := s.cut(out)
				got = append(got, bytes.Clone(out[:n]))
			}
		}
		if err != nil || s.more() || v.sumAt != 16 && v.sumAt != 6 {
			return // we are the stricter ones, and go on where it gives up
		}
		bufs, sizes := make([][]byte, 64), make([]int, 64)
		for i := range bufs {
			bufs[i] = make([]byte, offset+room)
		}
		n, err := stock.Split(bytes.Clone(in), bufs, sizes, offset)
		if err != nil {
			return
		}
		if n != len(got) {
			t.Fatalf("%d segments, not %d", len(got), n)
		}
		for i := range got {
			want := bufs[i][offset : offset+sizes[i]]
			if at := int(v.sumFrom) + int(v.sumAt); v.gso == unix.VIRTIO_NET_HDR_GSO_UDP_L4 && want[at] == 0 && want[at+1] == 0 {
				want[at], want[at+1] = 0xff, 0xff // there it would say "none"
			}
			if !bytes.Equal(got[i], want) {
				t.Fatalf("segment %d:\n%x\nnot\n%x", i, got[i], want)
			}
		}
	})
}

// deliver does what the kernel does with what is written: it cuts again what was
// joined.
func deliver(t *testing.T, list []merged) (out [][]byte) {
	t.Helper()
	for _, g := range list {
		b := bytes.Join(g.pieces, nil)
		v := readVnet(b)
		if v.gso == unix.VIRTIO_NET_HDR_GSO_NONE {
			if v.flags != 0 {
				t.Fatalf("flags %d without need", v.flags)
			}
			out = append(out, b[vnetLen:])
			continue
		}
		s, err := newSegments(v, b[vnetLen:])
		if err != nil {
			t.Fatalf("the kernel would refuse it: %v", err)
		}
		for s.more() {
			seg := make([]byte, 1<<16)
			out = append(out, seg[:s.cut(seg)])
		}
	}
	return out
}

func merging(pkts [][]byte, udp bool) []merged {
	const offset = 16
	var bufs [][]byte
	for _, p := range pkts {
		bufs = append(bufs, append(make([]byte, offset), p...))
	}
	m := merger{udp: udp}
	return m.merge(bufs, offset)
}

// Whatever mix of packets is joined, the kernel gets out the same packets, each
// flow in its order.
func FuzzMergingLosesNothing(f *testing.F) {
	f.Add(uint64(1), uint8(64), true)
	f.Add(uint64(2), uint8(20), false)
	f.Add(uint64(99), uint8(200), true)
	f.Fuzz(func(t *testing.T, seed uint64, count uint8, udp bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		var pkts [][]byte
		seqs := map[packetMaker]uint32{}
		for range count {
			m := packetMaker{six: r.IntN(2) == 0, udp: r.IntN(3) == 0, flow: byte(r.IntN(3))}
			if !m.udp {
				m.options = 12 * r.IntN(2)
			}
			id := m
			m.seq, m.flags = seqs[id], []byte{tcpACK, tcpACK, tcpACK, tcpACK, tcpACK | tcpPSH, tcpACK | tcpFIN, 2}[r.IntN(7)]
			n := []int{0, 1, 100, 1000, 1000, 1000, 1000, 1300}[r.IntN(8)]
			seqs[id] += uint32(n)
			if r.IntN(20) == 0 {
				seqs[id] += 77 // as if one was lost
			}
			p := m.make(bytes.Repeat([]byte{byte(r.Uint32())}, n))
			switch r.IntN(30) {
			case 0:
				p = p[:r.IntN(len(p))+1]
			case 1:
				p[0] = byte(r.Uint32())
			case 2:
				p[1] = byte(r.Uint32()) // class
			}
			pkts = append(pkts, p)
		}
		got := deliver(t, merging(pkts, udp))
		if len(got) != len(pkts) {
			t.Fatalf("%d packets, not %d", len(got), len(pkts))
		}
		// The number in IPv4's ID is the kernel's to choose.
		norm := func(p []byte) string {
			c := bytes.Clone(p)
			if fl, ok := parseFlow(c); ok && !fl.six {
				copy(c[4:6], []byte{0, 0})
				copy(c[10:12], []byte{0, 0})
			}
			if fl, ok := parseFlow(c); ok && !valid(p) && fl.plain {
				at := fl.ip + 16
				if fl.proto == unix.IPPROTO_UDP {
					at = fl.ip + 6
				}
				copy(c[at:at+2], []byte{0, 0})
			}
			return string(c)
		}
		flowOf := func(p []byte) string {
			fl, ok := parseFlow(p)
			if !ok {
				return "others"
			}
			from := 12
			if fl.six {
				from = 8
			}
			return string(fl.proto) + string(p[from:fl.ip+4])
		}
		in, out := map[string][]string{}, map[string][]string{}
		for i := range pkts {
			in[flowOf(pkts[i])] = append(in[flowOf(pkts[i])], norm(pkts[i]))
			out[flowOf(got[i])] = append(out[flowOf(got[i])], norm(got[i]))
		}
		for k := range in {
			if len(in[k]) != len(out[k]) {
				t.Fatalf("a flow of %d packets has %d", len(in[k]), len(out[k]))
			}
			for i := range in[k] {
				if in[k][i] != out[k][i] {
					t.Fatalf("packet %d of a flow:\n%x\nnot\n%x", i, out[k][i], in[k][i])
				}
			}
		}
	})
}

func TestRunsBecomeOnePacket(t *testing.T) {
	for name, m := range map[string]packetMaker{
		"TCP over IPv4": {flags: tcpACK, options: 12},
		"TCP over IPv6": {six: true, flags: tcpACK, options: 12},
		"UDP over IPv4": {udp: true},
		"UDP over IPv6": {six: true, udp: true},
	} {
		var pkts [][]byte
		for i := range 40 {
			n := 1000
			if i == 39 {
				n = 10
			}
			pkts = append(pkts, m.make(bytes.Repeat([]byte{byte(i)}, n)))
			m.seq += uint32(n)
		}
		list := merging(pkts, true)
		if len(list) != 1 || len(list[0].pieces) != 40 {
			t.Errorf("%s: %d packets for the kernel", name, len(list))
			continue
		}
		for i, p := range deliver(t, list) {
			if !valid(p) || !bytes.Equal(p[m.headers():], pkts[i][m.headers():]) {
				t.Errorf("%s: packet %d comes out wrong", name, i)
			}
		}
		if m.udp && len(merging(pkts, false)) != 40 {
			t.Errorf("%s: joined although the kernel cannot split it", name)
		}
	}
}

// What TCP hands over at once is a bit more than a run of datagrams can hold.
func TestInterfaceIsReadInRunsThatFillADatagram(t *testing.T) {
	m := packetMaker{flags: tcpACK, options: 12}
	const size, count = 1368, 47
	pkt := m.make(bytes.Repeat([]byte{7}, size*count))
	v := vnet{gso: unix.VIRTIO_NET_HDR_GSO_TCPV4, size: size, sumFrom: 20, sumAt: 16}
	c := &card{}
	for range 64 {
		c.rbufs = append(c.rbufs, make([]byte, 2048))
	}
	c.rsizes, c.rmost, c.roff = make([]int, 64), 64, 16
	var err error
	if c.segs, err = newSegments(v, pkt); err != nil {
		t.Fatal(err)
	}
	c.split()
	sealed := make([][]byte, c.rgot)
	for i := range sealed {
		sealed[i] = make([]byte, c.rsizes[i]+keepaliveSize)
	}
	if n := run(sealed); c.rgot != 45 || n != c.rgot {
		t.Errorf("%d packets, of which %d make a run", c.rgot, n)
	}
	c.rgot, c.rload = 0, 0
	if c.split(); c.rgot != count-45 || c.full() {
		t.Errorf("then %d; full: %v", c.rgot, c.full())
	}
	// Small ones are as many as there is room for.
	c.rgot, c.rload = 0, 0
	for range 64 {
		if c.full() {
			t.Fatalf("full after %d small ones", c.rgot)
		}
		c.got(92)
	}
	if !c.full() {
		t.Error("not full with no room left")
	}
}
