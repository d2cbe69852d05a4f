package upstream

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"pic/dnssrv/wire"
)

const (
	// udpSize is what we take over UDP: what every path carries in one piece.
	udpSize = 1232
	// block is what encrypted questions are padded to a multiple of (RFC 8467
	// §4.1).
	block      = 128
	maxOptions = 16 // of one OPT record

	flagTC = 2 // in the third byte
)

// ErrNonsense marks replies to the question that are no DNS messages.
var ErrNonsense = errors.New("it answers nonsense")

// A form is how a question is written.
type form struct {
	edns   bool
	mixed  bool   // in case
	pad    bool   // to a multiple of block
	cookie []byte // the client's 8 bytes and what the server gave, or nothing
	zero   bool   // the id is 0, for the transport tells answers apart
}

// message writes the question.
func (q *Question) message(f form) []byte {
	b := make([]byte, wire.HeaderLen, 2*block)
	if !f.zero {
		rand.Read(b[:2])
	}
	if !q.Iterative {
		b[2] = 1 // recursion desired
	}
	if q.CD {
		b[3] = 0x10
	}
	b[5] = 1
	b = append(b, q.Name...)
	if f.mixed {
		mix(b[wire.HeaderLen:])
	}
	b = binary.BigEndian.AppendUint16(b, q.Type)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	if !f.edns {
		return b
	}
	b[11] = 1
	b = append(b, 0, 0, byte(dns.TypeOPT), udpSize>>8, udpSize&0xff, 0, 0, 0, 0, 0, 0)
	if q.DO {
		b[len(b)-4] = 0x80
	}
	size := len(b)
	if len(f.cookie) > 0 {
		b = option(b, dns.EDNS0COOKIE, f.cookie)
	}
	if f.pad {
		b = option(b, dns.EDNS0PADDING, make([]byte, (block-(len(b)+4)%block)%block))
	}
	binary.BigEndian.PutUint16(b[size-2:], uint16(len(b)-size))
	return b
}

func option(b []byte, code uint16, data []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// mix changes the case of letters of the name by random bits.
func mix(name []byte) {
	var bits [wire.MaxName / 8]byte
	rand.Read(bits[:])
	for i, c := range name {
		if 'a' <= c && c <= 'z' && bits[i/8%len(bits)]>>(i%8)&1 == 1 {
			name[i] = c - ('a' - 'A')
		}
	}
}

// A fit says how a message suits a question.
type fit int

const (
	foreign  fit = iota // it is not the reply
	miscased            // it is, but for the case of the name
	fits
)

// heads judges by its head whether b is the reply to what was sent.
func heads(b, sent []byte) fit {
	if len(b) < wire.HeaderLen || b[0] != sent[0] || b[1] != sent[1] || b[2]&0xf8 != 0x80 {
		return foreign
	}
	if wire.Questions(b) == 0 {
		// Some leave it out when they cannot read it. No other error may.
		if code := b[3] & 15; code == dns.RcodeFormatError || code == dns.RcodeNotImplemented {
			return fits
		}
		return foreign
	}
	end, ok := wire.Skip(sent, wire.HeaderLen)
	if !ok || wire.Questions(b) != 1 || len(b) < end+4 || len(sent) < end+4 || string(b[end:end+4]) != string(sent[end:end+4]) {
		return foreign
	}
	got, asked := b[wire.HeaderLen:end], sent[wire.HeaderLen:end]
	if string(got) == string(asked) {
		return fits
	}
	for i, c := range got {
		if small(c) != small(asked[i]) {
			return foreign
		}
	}
	return miscased
}

func small(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// check reads the rest of a reply: all of its records are there, unless it is
// cut off, and there is at most one OPT record. It returns the cookie in that.
func check(b []byte) (cookie []byte, err error) {
	if b[2]&flagTC != 0 {
		return nil, nil
	}
	if !wire.Whole(b) {
		return nil, fmt.Errorf("%w: it is cut off", ErrNonsense)
	}
	if wire.Count(b, wire.Additional) == 0 {
		return nil, nil
	}
	seen := false
	for s, r := range wire.Records(b) {
		if r.Type != dns.TypeOPT {
			continue
		}
		if s != wire.Additional || b[r.At] != 0 || seen {
			return nil, fmt.Errorf("%w: an OPT record is out of place", ErrNonsense)
		}
		seen = true
		if cookie, err = options(b[r.Data:r.End]); err != nil {
			return nil, err
		}
	}
	return cookie, nil
}

// options returns the cookie among the options of an OPT record.
func options(b []byte) (cookie []byte, err error) {
	for n := 0; len(b) > 0; n++ {
		if len(b) < 4 || n == maxOptions {
			return nil, fmt.Errorf("%w: its options are broken, or too many", ErrNonsense)
		}
		end := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if end > len(b) {
			return nil, fmt.Errorf("%w: its options are broken", ErrNonsense)
		}
		if binary.BigEndian.Uint16(b) == dns.EDNS0COOKIE {
			cookie = b[4:end]
		}
		b = b[end:]
	}
	return cookie, nil
}

// rcode returns the response code, with the part that the OPT record has.
func rcode(b []byte) int {
	code := int(b[3] & 15)
	for _, r := range wire.Records(b) {
		if r.Type == dns.TypeOPT {
			code |= int(r.TTL>>24) << 4
		}
	}
	return code
}

// lacksEDNS reports whether the reply is that of somebody who does not know
// EDNS.
func lacksEDNS(b []byte) bool {
	if b[3]&15 != dns.RcodeFormatError {
		return false
	}
	for _, r := range wire.Records(b) {
		if r.Type == dns.TypeOPT {
			return false
		}
	}
	return true
}
