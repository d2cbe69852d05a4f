package dnssrv

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

// padBlock is what the length of encrypted answers is a multiple of, lest it
// tells what was asked (RFC 8467 §4.1).
const padBlock = 468

// extras are options of an answer that depend on the way it takes, and so are
// not part of what is kept.
type extras struct {
	pad   bool
	alive bool // the client wants to know how long its connection may be idle
}

// extrasOf reads from the query b what its answer is to have. Whether a query
// was padded makes no difference: who encrypts may get padding with any OPT
// record (RFC 7830 §4).
func extrasOf(b []byte, p proto) extras {
	if p == overUDP {
		return extras{}
	}
	opt := optOf(b)
	if opt == nil {
		return extras{}
	}
	return extras{pad: p.encrypted(), alive: (p == overTCP || p == overTLS) && hasOption(opt, dns.EDNS0TCPKEEPALIVE)}
}

// optOf returns the options of the OPT record that ends b, not nil if there is
// one.
func optOf(b []byte) []byte {
	if len(b) < headerLen || binary.BigEndian.Uint16(b[4:]) != 1 {
		return nil
	}
	off := plainName(b, headerLen)
	if off < 0 || off+4 > len(b) {
		return nil
	}
	off += 4
	last := skimmed{}
	at := 0
	for range int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:])) + int(binary.BigEndian.Uint16(b[10:])) {
		rr, ok := skim(b, off)
		if !ok {
			return nil
		}
		at, last, off = rr.ttlAt+6, rr, rr.end
	}
	if last.typ != dns.TypeOPT || off != len(b) {
		return nil
	}
	return b[at:off:off]
}

// hasOption reports whether the option is among those of an OPT record.
func hasOption(opts []byte, code uint16) bool {
	for len(opts) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(opts[2:]))
		if binary.BigEndian.Uint16(opts) == code {
			return true
		}
		opts = opts[min(n, len(opts)):]
	}
	return false
}

// add returns the message b with the extras in its OPT record, which is its last
// record; b is left as it is where it has none.
func (e extras) add(b []byte) []byte {
	if !e.pad && !e.alive {
		return b
	}
	have := optOf(b)
	if have == nil {
		return b
	}
	sizeAt := len(b) - len(have) - 2
	n := len(have)
	if e.alive && len(b)+6 <= maxSize {
		b = binary.BigEndian.AppendUint16(b[:len(b):len(b)], dns.EDNS0TCPKEEPALIVE)
		b = append(b, 0, 2)
		b = binary.BigEndian.AppendUint16(b, uint16(idle/(100*time.Millisecond)))
		n += 6
	}
	if room := padding(len(b)); e.pad && room >= 0 {
		whole := make([]byte, len(b)+4+room)
		at := copy(whole, b)
		binary.BigEndian.PutUint16(whole[at:], dns.EDNS0PADDING)
		binary.BigEndian.PutUint16(whole[at+2:], uint16(room))
		b = whole
		n += 4 + room
	}
	binary.BigEndian.PutUint16(b[sizeAt:], uint16(n))
	return b
}

// padding is how many bytes of it a message of n bytes needs, besides the four
// that say so; -1 where it has no room for any.
func padding(n int) int {
	n += 4
	to := (n + padBlock - 1) / padBlock * padBlock
	if to > maxSize {
		to = maxSize
	}
	return max(to-n, -1)
}
