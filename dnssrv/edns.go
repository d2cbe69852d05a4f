package dnssrv

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

const (
	maxOptions = 16  // of one OPT record; more are meant to cost us time
	padBlock   = 468 // bytes that padded answers are multiples of (RFC 8467 §4.1)
	optLen     = 11  // of an OPT record without options
	optionLen  = 4   // of an option without content
)

// limit is how long an answer to o may be.
func (p proto) limit(o *opt) int {
	if p == overUDP {
		return o.size
	}
	return maxSize
}

// An opt is what a client's OPT record says (RFC 6891), as far as it is heeded.
// The zero opt, with a size, is that of a client without EDNS.
type opt struct {
	edns    bool
	do      bool
	version uint8
	size    int // bytes that the client takes over UDP

	nsid   bool   // it asks what we are called (RFC 5001)
	alive  bool   // it asks how long its connection may be idle (RFC 7828)
	cookie cookie // (RFC 7873)

	signed bool // by a TSIG record (RFC 8945)
}

// read takes in the OPT record rr of the message b. Options that are not known
// are ignored (RFC 6891 §6.1.2).
func (o *opt) read(b []byte, rr skimmed) error {
	o.edns = true
	o.size = min(max(int(rr.class), minSize), udpSize)
	o.version = uint8(rr.ttl >> 16)
	o.do = rr.ttl&(1<<15) != 0
	rest := b[rr.ttlAt+6 : rr.end]
	for n := 0; len(rest) > 0; n++ {
		if n == maxOptions || len(rest) < optionLen {
			return errFormat
		}
		code, end := binary.BigEndian.Uint16(rest), optionLen+int(binary.BigEndian.Uint16(rest[2:]))
		if end > len(rest) {
			return errFormat
		}
		data := rest[optionLen:end]
		switch code {
		case dns.EDNS0NSID:
			o.nsid = true
		case dns.EDNS0TCPKEEPALIVE:
			o.alive = true
		case dns.EDNS0COOKIE:
			if o.cookie.n == 0 && !o.cookie.read(data) { // of several the first counts
				return errFormat
			}
		}
		rest = rest[end:]
	}
	return nil
}

// record appends our OPT record to the message b, with the options of ready,
// each in wire format. Nothing is appended for a client without EDNS.
func (o *opt) record(b []byte, rcode int, ready ...[]byte) []byte {
	if !o.edns {
		return b
	}
	at := len(b)
	flags := byte(0)
	if o.do {
		flags = 0x80
	}
	b = append(b, 0, 0, byte(dns.TypeOPT), udpSize>>8, udpSize&0xff, byte(rcode>>4), 0, flags, 0, 0, 0)
	for _, option := range ready {
		b = append(b, option...)
	}
	binary.BigEndian.PutUint16(b[at+9:], uint16(len(b)-at-optLen))
	return b
}

// pad makes the message b longer, whose OPT record begins at b[at:], where its
// length is all that others on the way could learn of it. Whether the query was
// padded makes no difference: who encrypts may get padding with any OPT record
// (RFC 7830 §4). It stays within limit bytes.
func (o *opt) pad(b []byte, at int, via proto, limit int) []byte {
	if !o.edns || !via.encrypted() {
		return b
	}
	n := (padBlock - (len(b)+optionLen)%padBlock) % padBlock
	if n = min(n, limit-len(b)-optionLen); n < 0 {
		return b
	}
	b = binary.BigEndian.AppendUint16(b, dns.EDNS0PADDING)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, zeros[:n]...)
	binary.BigEndian.PutUint16(b[at+9:], uint16(len(b)-at-optLen))
	return b
}

var zeros [padBlock]byte

// personal reports whether the client wants options that greeting makes.
func (o *opt) personal() bool { return o.nsid || o.alive || o.cookie.n > 0 }

// greeting appends the options of a reply that are about the server and the
// client and not about the answer: its name, its patience and a cookie.
func (s *Server) greeting(b []byte, o *opt, c client) []byte {
	if id := s.table.Load().conf.NSID; o.nsid && id != "" {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0NSID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
		b = append(b, id...)
	}
	if o.alive && (c.proto == overTCP || c.proto == overTLS) {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0TCPKEEPALIVE)
		b = append(b, 0, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(idle/(100*time.Millisecond)))
	}
	if o.cookie.n > 0 {
		b = s.cookies.reply(b, &o.cookie, c.from, time.Now())
	}
	return b
}
