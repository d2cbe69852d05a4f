package userspace

import (
	"bytes"
	"encoding/binary"
	"sync"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A joiner makes one packet of those that follow one another in a TCP connection
// (as GRO of a kernel does), within one batch of WireGuard. It verifies checksums,
// which the stack then does not do again; a joined packet has none of TCP's own.
type joiner struct {
	mu   sync.Mutex // WireGuard writes from one goroutine for each peer
	runs []run
	used int
	open []int // of runs, those that may grow; the last is the youngest
	memo memo
}

// A run is one packet for the stack.
type run struct {
	head  []byte   // the first packet, whole
	tails [][]byte // payload that follows it
	total int
	flow  segment
	next  uint32 // sequence number that would follow
}

const (
	maxOpen  = 8         // connections followed at once
	maxJoint = 1<<16 - 1 // bytes of a packet
)

// take gives the stack of n what g lets pass of a batch.
func (j *joiner) take(n *Net, g *gate, bufs [][]byte, offset int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used, j.open = 0, j.open[:0]
	for _, b := range bufs {
		j.add(n, g, b[offset:])
	}
	for i := range j.used {
		r := &j.runs[i]
		n.link.deliver(r.packet())
		r.head = nil
		clear(r.tails)
	}
}

func (j *joiner) add(n *Net, g *gate, p []byte) {
	h, ok := look(p)
	if !ok || !intact(p, &h) {
		return
	}
	switch g.judge(&h, &j.memo) {
	case drop:
		return
	case echo:
		n.out.ping(&h, p)
		return
	}
	f, ok := parseSegment(p, &h)
	if !ok {
		j.start(p, f)
		return
	}
	for k := len(j.open) - 1; k >= 0; k-- {
		r := &j.runs[j.open[k]]
		if !sameFlow(r.head, p, &r.flow, &f) {
			continue
		}
		if !f.plain || !r.takes(p, &f) {
			j.open = append(j.open[:k], j.open[k+1:]...) // what follows must not overtake
			break
		}
		payload := p[f.heads:]
		r.tails = append(r.tails, payload)
		r.total += len(payload)
		r.next += uint32(len(payload))
		if f.push {
			r.flow.push = true
			j.open = append(j.open[:k], j.open[k+1:]...)
		}
		return
	}
	i := j.start(p, f)
	if !f.plain || f.push {
		return
	}
	if len(j.open) == maxOpen {
		j.open = append(j.open[:0], j.open[1:]...)
	}
	j.open = append(j.open, i)
}

func (j *joiner) start(p []byte, f segment) int {
	if j.used == len(j.runs) {
		j.runs = append(j.runs, run{})
	}
	r := &j.runs[j.used]
	*r = run{head: p, tails: r.tails[:0], total: len(p), flow: f, next: f.seq + uint32(len(p)-f.heads)}
	j.used++
	return j.used - 1
}

// takes reports whether p can be put behind r: it is the next of the same, with
// the same to say about the other direction.
func (r *run) takes(p []byte, f *segment) bool {
	if f.seq != r.next || f.heads != r.flow.heads || r.total+len(p)-f.heads > maxJoint {
		return false
	}
	h, t := r.head, f.ip
	if f.six {
		if h[0] != p[0] || h[1] != p[1] || h[7] != p[7] { // class, hop limit
			return false
		}
	} else if h[1] != p[1] || h[6] != p[6] || h[8] != p[8] { // TOS, DF, TTL
		return false
	}
	return bytes.Equal(h[t+8:t+12], p[t+8:t+12]) && // what is acknowledged
		bytes.Equal(h[t+14:t+16], p[t+14:t+16]) && // window
		bytes.Equal(h[t+20:f.heads], p[t+20:f.heads]) // options
}

// packet copies r out of WireGuard's buffers.
func (r *run) packet() (tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {
	proto := header.IPv4ProtocolNumber
	if r.head[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	if len(r.tails) > 0 {
		r.amend()
	}
	v := buffer.NewView(r.total)
	v.Write(r.head)
	for _, t := range r.tails {
		v.Write(t)
	}
	return proto, stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
}

// amend gives the first packet the length of all.
func (r *run) amend() {
	if r.flow.six {
		binary.BigEndian.PutUint16(r.head[4:], uint16(r.total-header.IPv6MinimumSize))
	} else {
		binary.BigEndian.PutUint16(r.head[2:], uint16(r.total))
		r.head[10], r.head[11] = 0, 0
		binary.BigEndian.PutUint16(r.head[10:], ^checksum.Checksum(r.head[:r.flow.ip], 0))
	}
	if r.flow.push {
		r.head[r.flow.ip+13] |= byte(header.TCPFlagPsh)
	}
}

// A segment is what joining needs to know of a packet of TCP.
type segment struct {
	six   bool
	ip    int // length of the IP header
	heads int // and of both
	seq   uint32
	plain bool // nothing but payload, and maybe PSH
	push  bool
}

// parseSegment reads the headers of a packet; false if it is no whole packet of TCP
// in plain IP.
func parseSegment(p []byte, h *sight) (f segment, ok bool) {
	if h.Proto != policy.TCP || h.piece || h.rest == 0 {
		return f, false
	}
	f.six, f.ip = p[0]>>4 == 6, h.rest
	if !f.six && f.ip != header.IPv4MinimumSize {
		return f, false
	}
	size := int(p[f.ip+12]>>4) * 4
	if size < header.TCPMinimumSize || len(p) < f.ip+size {
		return f, false
	}
	f.heads = f.ip + size
	f.seq = binary.BigEndian.Uint32(p[f.ip+4:])
	flags := header.TCPFlags(p[f.ip+13])
	f.push = flags == header.TCPFlagAck|header.TCPFlagPsh
	f.plain = len(p) > f.heads && p[f.ip+12]&0xf == 0 && (flags == header.TCPFlagAck || f.push)
	return f, true
}

// sameFlow reports whether two packets have addresses and ports in common.
func sameFlow(a, b []byte, f, g *segment) bool {
	if f.six != g.six {
		return false
	}
	from := 12
	if f.six {
		from = 8
	}
	return bytes.Equal(a[from:f.ip+4], b[from:g.ip+4])
}

// intact verifies the checksums of a packet: of the IPv4 header, TCP and UDP. The
// stack looks after those of ICMP.
func intact(p []byte, h *sight) bool {
	if p[0]>>4 == 4 && checksum.Checksum(p[:h.ip], 0) != 0xffff {
		return false
	}
	if h.piece || h.rest == 0 || h.Proto != policy.TCP && h.Proto != policy.UDP {
		return true
	}
	addrs := p[12:20]
	if p[0]>>4 == 6 {
		addrs = p[8:40]
	}
	body := p[h.rest:]
	if h.Proto == policy.UDP && body[6] == 0 && body[7] == 0 {
		return p[0]>>4 == 4 // IPv6 knows no datagrams without a checksum (RFC 8200)
	}
	if h.Proto == policy.UDP { // what follows the datagram does not count
		size := int(binary.BigEndian.Uint16(body[4:]))
		if size < header.UDPMinimumSize || size > len(body) {
			return false
		}
		body = body[:size]
	}
	sum := checksum.Combine(checksum.Checksum(addrs, 0), uint16(h.Proto))
	return checksum.Checksum(body, checksum.Combine(sum, uint16(len(body)))) == 0xffff
}
