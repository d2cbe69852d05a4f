// Package transfer has what name servers do with whole zones: it carries them
// from one to another and changes them on behalf of others.
//
// It promises:
//
//   - [Keys] check and make transaction signatures (RFC 8945), over one message
//     or, in a [Session], over the many of a transfer.
//   - A [Sender] writes zones (AXFR, RFC 5936) and differences between their
//     versions (IXFR, RFC 1995), which a [History] remembers within bounds.
//   - A [Client] fetches a zone by IXFR or AXFR, checks what it gets, and reads no
//     more than it is told to, whatever the other side sends.
//   - [Update] says what a dynamic update (RFC 2136) makes of a zone: all of it or
//     nothing. It never makes a zone that has a CNAME beside other records.
//   - [Save] and [Load] keep a fetched zone on disk, whole or not at all.
//
// Records are in wire format without compression, their owner in lower case, as
// strings, where a zone is carried or kept; where records are looked into they
// are those of miekg/dns. Zone names are in presentation format, in lower case
// and with the last dot.
//
// It knows nothing of policy: who may do what, and when, is for the server to
// say. It does not do zone transfer over TLS as a client, GSS-TSIG, SIG(0) or
// forwarding of updates.
package transfer

import (
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
)

var (
	errFormat = errors.New("the message is malformed")
	errRecord = errors.New("a record is malformed")
)

// Newer reports whether serial a is after b (RFC 1982 §3.2).
func Newer(a, b uint32) bool { return a != b && int32(a-b) > 0 }

// Wire returns rr as zones are kept, with its owner in lower case. The library
// reads and writes records without data, as updates have them, of any type; a
// zone has them of few.
func Wire(rr dns.RR) (string, error) {
	rr = dns.Copy(rr) // packing notes the length in the record, which others may read
	b := make([]byte, dns.Len(rr)+1)
	for {
		n, err := dns.PackRR(rr, b, 0, nil, false)
		if err == nil {
			if hollow(b[:n]) {
				return "", errRecord
			}
			lowerOwner(b[:n])
			return string(b[:n]), nil
		}
		if len(b) > maxMessage {
			return "", err
		}
		b = make([]byte, 4*len(b)) // Len is wrong for some types
	}
}

// hollow reports whether the record has no data, and must have.
func hollow(wire []byte) bool {
	end := ownerEnd(string(wire))
	switch typ := binary.BigEndian.Uint16(wire[end:]); typ {
	case dns.TypeAPL, dns.TypeNULL:
		return false
	default:
		return len(wire) == end+10 && dns.TypeToRR[typ] != nil
	}
}

// Record is the reverse of Wire.
func Record(wire string) (dns.RR, error) {
	rr, n, err := dns.UnpackRR([]byte(wire), 0)
	if err != nil || n != len(wire) {
		return nil, errRecord
	}
	return rr, nil
}

// lowerOwner makes the letters of the name at the start of b small. Length bytes
// are below 64, so none of them is a letter.
func lowerOwner(b []byte) {
	for i, c := range b[:ownerEnd(string(b))] {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
}

// typeOf returns the type of a record in wire format.
func typeOf(wire string) uint16 {
	return binary.BigEndian.Uint16([]byte(wire[ownerEnd(wire):]))
}

// ownerEnd is where the owner of a record ends; labels may hold zero bytes.
func ownerEnd(wire string) int {
	i := 0
	for i < len(wire) && wire[i] != 0 {
		i += 1 + int(wire[i])
	}
	return i + 1
}

// serialOf returns the serial of a SOA record in wire format: the first of the
// five numbers that it ends with.
func serialOf(soa string) uint32 {
	if len(soa) < 20 {
		return 0
	}
	return binary.BigEndian.Uint32([]byte(soa[len(soa)-20:]))
}
