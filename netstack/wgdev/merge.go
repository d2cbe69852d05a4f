package wgdev

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A merger joins packets of the same flow that follow one another, so that the
// kernel takes them in at once (GRO, as network cards do it). Nothing is copied:
// a joined packet is a list of pieces of those that it was made of.
//
// Their checksums are not verified. As in the kernel's own WireGuard, what the
// tunnel has authenticated counts as arrived intact; whoever sent it is to blame
// for what was wrong before.
type merger struct {
	udp  bool // the kernel splits UDP again
	all  []merged
	used int
	open []int // of all, those that may grow; the last is the youngest
}

// A merged is one packet for the kernel.
type merged struct {
	pieces  [][]byte // the first has the kernel's header in front
	total   int      // bytes of IP packet
	headers int
	ip      int // length of the IP header
	size    int // payload of each segment but the last
	seq     uint32
	proto   byte
	six     bool
}

// maxOpen is how many flows are followed at once.
const maxOpen = 8

// merge sorts packets into what is to be written. Each begins at offset; the
// vnetLen bytes before it are free. The result lasts until the next call.
func (m *merger) merge(bufs [][]byte, offset int) []merged {
	m.used, m.open = 0, m.open[:0]
	for _, b := range bufs {
		m.add(b[offset-vnetLen:])
	}
	for i := range m.used {
		m.all[i].finish()
	}
	return m.all[:m.used]
}

func (m *merger) add(b []byte) {
	pkt := b[vnetLen:]
	f, ok := parseFlow(pkt)
	if !ok || f.proto == unix.IPPROTO_UDP && !m.udp {
		clear(b[:vnetLen])
		m.start(b, merged{total: len(pkt)})
		return
	}
	payload := pkt[f.headers:]
	for k := len(m.open) - 1; k >= 0; k-- {
		g := &m.all[m.open[k]]
		head := g.pieces[0][vnetLen:]
		if g.proto != f.proto || g.six != f.six || !sameFlow(head, pkt, &f) {
			continue
		}
		if !f.plain || !g.takes(head, pkt, &f, len(payload)) {
			m.open = append(m.open[:k], m.open[k+1:]...) // what follows must not overtake
			break
		}
		g.pieces = append(g.pieces, payload)
		g.total += len(payload)
		g.seq += uint32(len(payload))
		if f.push {
			head[f.ip+13] |= tcpPSH
		}
		if f.push || len(payload) < g.size || len(g.pieces) == maxSegments {
			m.open = append(m.open[:k], m.open[k+1:]...)
		}
		return
	}
	clear(b[:vnetLen])
	i := m.start(b, merged{
		total: len(pkt), headers: f.headers, ip: f.ip, size: len(payload), proto: f.proto, six: f.six,
		seq: f.seq + uint32(len(payload)),
	})
	if !f.plain || f.push {
		return
	}
	if len(m.open) == maxOpen {
		m.open = append(m.open[:0], m.open[1:]...)
	}
	m.open = append(m.open, i)
}

// maxSegments is how many packets become one at most: the kernel's own limit for
// UDP.
const maxSegments = 64

func (m *merger) start(b []byte, g merged) int {
	if m.used == len(m.all) {
		m.all = append(m.all, merged{})
	}
	g.pieces = append(m.all[m.used].pieces[:0], b)
	m.all[m.used] = g
	m.used++
	return m.used - 1
}

// takes reports whether pkt can be put behind g.
func (g *merged) takes(head, pkt []byte, f *flow, payload int) bool {
	if payload > g.size || g.total+payload > 1<<16-1 || len(head) < g.headers {
		return false
	}
	if f.six {
		if head[0] != pkt[0] || head[1] != pkt[1] || head[7] != pkt[7] { // class, hop limit
			return false
		}
	} else if head[1] != pkt[1] || head[6] != pkt[6] || head[8] != pkt[8] { // TOS, DF, TTL
		return false
	}
	if f.proto == unix.IPPROTO_UDP {
		return true
	}
	t := f.ip
	return f.seq == g.seq && f.headers == g.headers &&
		bytes.Equal(head[t+8:t+12], pkt[t+8:t+12]) && // what is acknowledged
		bytes.Equal(head[t+14:t+16], pkt[t+14:t+16]) && // window
		bytes.Equal(head[t+20:f.headers], pkt[t+20:f.headers]) // options
}

// finish gives a packet that was joined the header with which the kernel splits
// it again.
func (g *merged) finish() {
	if len(g.pieces) < 2 {
		return
	}
	b := g.pieces[0]
	pkt := b[vnetLen:]
	v := vnet{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, header: uint16(g.headers), size: uint16(g.size), sumFrom: uint16(g.ip)}
	var addrs []byte
	if g.six {
		addrs = pkt[8:40]
		binary.BigEndian.PutUint16(pkt[4:], uint16(g.total-40))
	} else {
		addrs = pkt[12:20]
		binary.BigEndian.PutUint16(pkt[2:], uint16(g.total))
		pkt[10], pkt[11] = 0, 0
		binary.BigEndian.PutUint16(pkt[10:], ^fold(sum(pkt[:g.ip], 0)))
	}
	switch {
	case g.proto == unix.IPPROTO_UDP:
		v.gso, v.sumAt = unix.VIRTIO_NET_HDR_GSO_UDP_L4, 6
		binary.BigEndian.PutUint16(pkt[g.ip+4:], uint16(g.total-g.ip))
	case g.six:
		v.gso, v.sumAt = unix.VIRTIO_NET_HDR_GSO_TCPV6, 16
	default:
		v.gso, v.sumAt = unix.VIRTIO_NET_HDR_GSO_TCPV4, 16
	}
	v.put(b)
	binary.BigEndian.PutUint16(pkt[g.ip+int(v.sumAt):], fold(pseudo(addrs, g.proto, g.total-g.ip)))
}

// A flow is what merging needs to know of a packet of TCP or UDP.
type flow struct {
	proto   byte
	six     bool
	ip      int // length of the IP header
	headers int
	seq     uint32
	plain   bool // nothing but payload, and maybe PSH
	push    bool
}

// parseFlow reads the headers of a packet; false if it is no whole packet of TCP
// or UDP that could ever be joined to another.
func parseFlow(p []byte) (f flow, ok bool) {
	if len(p) < 28 {
		return f, false
	}
	switch p[0] >> 4 {
	case 4:
		// No options, no fragments.
		if p[0] != 0x45 || int(binary.BigEndian.Uint16(p[2:])) != len(p) || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return f, false
		}
		f.ip, f.proto = 20, p[9]
	case 6:
		if len(p) < 48 || int(binary.BigEndian.Uint16(p[4:]))+40 != len(p) {
			return f, false
		}
		f.ip, f.proto, f.six = 40, p[6], true
	default:
		return f, false
	}
	switch f.proto {
	case unix.IPPROTO_UDP:
		f.headers = f.ip + 8
		// Without a checksum it must stay so.
		f.plain = len(p) > f.headers && int(binary.BigEndian.Uint16(p[f.ip+4:])) == len(p)-f.ip && (p[f.ip+6] != 0 || p[f.ip+7] != 0)
		return f, true
	case unix.IPPROTO_TCP:
		if len(p) < f.ip+20 {
			return f, false
		}
		n := int(p[f.ip+12]>>4) * 4
		if n < 20 || len(p) < f.ip+n {
			return f, false
		}
		f.headers = f.ip + n
		f.seq = binary.BigEndian.Uint32(p[f.ip+4:])
		flags := p[f.ip+13]
		f.push = flags == tcpACK|tcpPSH
		f.plain = len(p) > f.headers && p[f.ip+12]&0xf == 0 && (flags == tcpACK || f.push)
		return f, true
	}
	return f, false
}

// sameFlow reports whether two packets of one kind have addresses and ports in
// common.
func sameFlow(a, b []byte, f *flow) bool {
	from := 12
	if f.six {
		from = 8
	}
	return bytes.Equal(a[from:f.ip+4], b[from:f.ip+4])
}
