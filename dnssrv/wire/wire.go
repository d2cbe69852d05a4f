// Package wire reads DNS messages (RFC 1035 §4) in place: where records begin
// and end, their names, types and TTLs, without an object for each.
//
// It promises to look at no byte outside of the message and to end: a pointer of
// a compressed name must lead backwards, to where no name of the message is
// being read from, and a name has at most 255 bytes. What it does not do is to
// look into the data of records, but for names in it by [Name].
package wire

import (
	"encoding/binary"
	"errors"
	"iter"
)

const (
	// HeaderLen is how long the header of a message is.
	HeaderLen = 12
	// MaxName is how long a name in wire format may be.
	MaxName = 255
	// maxJumps bounds the pointers in one name. Writers need one.
	maxJumps = 16
)

// ErrFormat is the error of messages that are not as RFC 1035 says.
var ErrFormat = errors.New("malformed message")

// A Section is a part of a message.
type Section int

// The sections that hold records.
const (
	Answer Section = iota
	Authority
	Additional
)

// A Record is the fixed part of a resource record, and where the rest is.
type Record struct {
	At          int // where it begins, with its name
	Type, Class uint16
	TTL         uint32
	TTLAt       int // where the TTL is; Type is 4 bytes before it
	Data, End   int // where its data begins; where the next record does
}

// Count returns how many records the header says are in the section. b has a
// whole header.
func Count(b []byte, s Section) int {
	return int(binary.BigEndian.Uint16(b[6+2*int(s):]))
}

// Questions returns how many questions the header says there are.
func Questions(b []byte) int { return int(binary.BigEndian.Uint16(b[4:])) }

// Start returns where the records begin, after the questions.
func Start(b []byte) (int, bool) {
	if len(b) < HeaderLen {
		return 0, false
	}
	off := HeaderLen
	for range Questions(b) {
		end, ok := Skip(b, off)
		if !ok || end+4 > len(b) {
			return 0, false
		}
		off = end + 4
	}
	return off, true
}

// Skip returns where the name at off ends.
func Skip(b []byte, off int) (end int, ok bool) {
	for start := off; off < len(b) && off-start < MaxName; {
		n := int(b[off])
		switch {
		case n == 0:
			return off + 1, true
		case n >= 0xc0:
			return off + 2, off+2 <= len(b)
		case n > 63:
			return 0, false
		}
		off += 1 + n
	}
	return 0, false
}

// Name appends the name at off to dst, in wire format without pointers and in
// lower case, and returns where it ends in b.
func Name(dst, b []byte, off int) (name []byte, end int, ok bool) {
	start, limit, jumps := len(dst), off, 0
	for off < len(b) {
		n := int(b[off])
		switch {
		case n == 0:
			if len(dst)-start >= MaxName {
				return dst, 0, false
			}
			if end == 0 {
				end = off + 1
			}
			return append(dst, 0), end, true
		case n >= 0xc0:
			if off+2 > len(b) {
				return dst, 0, false
			}
			to := int(binary.BigEndian.Uint16(b[off:]) & 0x3fff)
			if end == 0 {
				end = off + 2
			}
			if jumps++; to >= limit || to < HeaderLen || jumps > maxJumps {
				return dst, 0, false
			}
			off, limit = to, to
			continue
		case n > 63 || off+1+n > len(b) || len(dst)-start+1+n >= MaxName:
			return dst, 0, false
		}
		dst = append(dst, byte(n))
		for _, c := range b[off+1 : off+1+n] {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
		}
		off += 1 + n
	}
	return dst, 0, false
}

// Next reads the record at off.
func Next(b []byte, off int) (r Record, ok bool) {
	at := off
	if off, ok = Skip(b, off); !ok || off+10 > len(b) {
		return r, false
	}
	r = Record{
		At:   at,
		Type: binary.BigEndian.Uint16(b[off:]), Class: binary.BigEndian.Uint16(b[off+2:]),
		TTL: binary.BigEndian.Uint32(b[off+4:]), TTLAt: off + 4,
		Data: off + 10, End: off + 10 + int(binary.BigEndian.Uint16(b[off+8:])),
	}
	return r, r.End <= len(b)
}

// Records yields the records of b in their order. It stops where one is broken;
// who must know asks [Whole].
func Records(b []byte) iter.Seq2[Section, Record] {
	return func(yield func(Section, Record) bool) {
		off, ok := Start(b)
		if !ok {
			return
		}
		for s := Answer; s <= Additional; s++ {
			for range Count(b, s) {
				r, ok := Next(b, off)
				if !ok || !yield(s, r) {
					return
				}
				off = r.End
			}
		}
	}
}

// Whole reports whether all that the header counts is there.
func Whole(b []byte) bool {
	if _, ok := Start(b); !ok {
		return false
	}
	n := Count(b, Answer) + Count(b, Authority) + Count(b, Additional)
	for range Records(b) {
		n--
	}
	return n == 0
}
