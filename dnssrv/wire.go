package dnssrv

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const (
	headerLen = 12
	// udpSize is how much we send and ask for over UDP: what every path carries
	// without fragments.
	udpSize = 1232
	minSize = 512 // what a client without EDNS takes (RFC 1035 §2.3.4)
	maxSize = 65535
	maxName = 255
)

// A name is a domain name in wire format, lower case, with the root label. It
// cannot be mistaken: dots within labels need no escapes.
type name string

const root name = "\x00"

// parent returns n without its first label; that of the root is the root.
func (n name) parent() name {
	if n == root {
		return root
	}
	return n[1+int(n[0]):]
}

// below reports whether n is z or ends in it.
func (n name) below(z name) bool {
	for len(n) > len(z) {
		n = n.parent()
	}
	return n == z
}

// labels returns how many labels n has, without the root's.
func (n name) labels() int {
	i := 0
	for ; n != root; n = n.parent() {
		i++
	}
	return i
}

// String returns n in presentation format with the last dot.
func (n name) String() string {
	s, _, err := dns.UnpackDomainName([]byte(n), 0)
	if err != nil {
		return "."
	}
	return s
}

// host returns n as core/names writes it; ok is false where n cannot be the
// name of a host.
func (n name) host() (s string, ok bool) {
	b := make([]byte, 0, len(n))
	for ; n != root; n = n.parent() {
		for _, c := range []byte(n[1 : 1+int(n[0])]) {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", false
			}
			b = append(b, c)
		}
		b = append(b, '.')
	}
	if len(b) == 0 {
		return "", false
	}
	return string(b[:len(b)-1]), true
}

// parseName reads presentation format; a missing last dot is added.
func parseName(s string) (name, error) {
	b := make([]byte, maxName+1)
	if _, ok := dns.IsDomainName(s); !ok {
		return "", errors.New("not a domain name")
	}
	n, err := dns.PackDomainName(dns.Fqdn(s), b, 0, nil, false)
	if err != nil || n > maxName {
		return "", errors.New("not a domain name")
	}
	return name(lower(b[:n])), nil
}

// mustName is parseName for names that the code spells out.
func mustName(s string) name {
	n, err := parseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

// lower returns b with the letters A to Z small. Length bytes are below 64, so
// none of them is a letter.
func lower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}

// A query is a parsed question of a client.
type query struct {
	id    uint16
	flags uint16 // as they came
	raw   []byte // the question section as it came
	asked []byte // its name as it came, a part of raw
	name  name
	typ   uint16
	class uint16

	opt
	proto proto  // how it came
	ready []byte // options of the reply that are not about the answer, in wire format
}

const (
	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
	flagRA = 1 << 7
	flagAD = 1 << 5
	flagCD = 1 << 4
)

func (q *query) opcode() int { return int(q.flags>>11) & 15 }

// presented returns the name asked for in presentation format, in its own case.
func (q *query) presented() string { return name(q.asked).String() }

var (
	// errNoAnswer: whatever it is, it must not be answered.
	errNoAnswer = errors.New("not a query")
	// errFormat: it is a query, and broken.
	errFormat = errors.New("malformed query")
)

// ErrType is what Lookup returns for a type that it does not know.
var ErrType = errors.New("not a record type; there are A, AAAA, CNAME, MX, TXT and others")

// parse reads a message. With errFormat, q has what an error reply needs.
func parse(b []byte) (q query, err error) {
	if len(b) < headerLen || len(b) > maxSize {
		return q, errNoAnswer
	}
	q.id = binary.BigEndian.Uint16(b)
	q.flags = binary.BigEndian.Uint16(b[2:])
	q.size = minSize
	if q.flags&flagQR != 0 {
		return q, errNoAnswer // an answer to it would start a loop
	}
	var counts [4]int
	for i := range counts {
		counts[i] = int(binary.BigEndian.Uint16(b[4+2*i:]))
	}
	if q.opcode() != dns.OpcodeQuery {
		return q, nil // judged by its opcode alone
	}
	if counts[0] == 0 && counts[1] == 0 {
		// Nothing but a cookie is asked for (RFC 7873 §5.4).
		if err := q.additional(b, headerLen, counts[2], counts[3]); err != nil || q.cookie.n == 0 {
			return q, errFormat
		}
		return q, nil
	}
	if counts[0] != 1 || counts[1] != 0 {
		return q, errFormat
	}
	end := plainName(b, headerLen)
	if end < 0 || end+4 > len(b) {
		return q, errFormat
	}
	q.raw = b[headerLen : end+4]
	q.asked = b[headerLen:end]
	q.name = name(lower(q.asked))
	q.typ = binary.BigEndian.Uint16(b[end:])
	q.class = binary.BigEndian.Uint16(b[end+2:])
	return q, q.additional(b, end+4, counts[2], counts[3])
}

// additional reads the sections after the question for an OPT record.
func (o *opt) additional(b []byte, off, authority, additional int) error {
	for i := range authority + additional {
		rr, ok := skim(b, off)
		if !ok {
			return errFormat
		}
		if rr.typ == dns.TypeTSIG && i == authority+additional-1 && additional > 0 {
			o.signed = true
		}
		if rr.typ == dns.TypeOPT {
			// One, in the additional section, of the root (RFC 6891 §6.1.1).
			if i < authority || o.edns || b[off] != 0 {
				return errFormat
			}
			if err := o.read(b, rr); err != nil {
				return err
			}
		}
		off = rr.end
	}
	if off != len(b) {
		return errFormat
	}
	return nil
}

// plainName returns the end of an uncompressed name, or -1.
func plainName(b []byte, off int) int {
	for start := off; off < len(b) && off-start < maxName; {
		n := int(b[off])
		if n == 0 {
			return off + 1
		}
		if n > 63 {
			return -1
		}
		off += 1 + n
	}
	return -1
}

// A skimmed is the fixed part of a record in a message.
type skimmed struct {
	typ, class uint16
	ttl        uint32
	ttlAt      int // where the TTL is
	end        int // where the next record begins
}

// skim reads the record at off without its content.
func skim(b []byte, off int) (r skimmed, ok bool) {
	for start := off; ; {
		if off >= len(b) || off-start >= maxName {
			return r, false
		}
		n := int(b[off])
		if n == 0 {
			off++
			break
		}
		if n >= 0xc0 {
			off += 2
			break
		}
		if n > 63 {
			return r, false
		}
		off += 1 + n
	}
	if off+10 > len(b) {
		return r, false
	}
	r.typ = binary.BigEndian.Uint16(b[off:])
	r.class = binary.BigEndian.Uint16(b[off+2:])
	r.ttlAt = off + 4
	r.ttl = binary.BigEndian.Uint32(b[off+4:])
	r.end = off + 10 + int(binary.BigEndian.Uint16(b[off+8:]))
	return r, r.end <= len(b)
}

// whole reports whether all the records that the header of b counts are there.
func whole(b []byte) bool {
	off := headerLen
	for range binary.BigEndian.Uint16(b[4:]) {
		if off = plainName(b, off); off < 0 || off+4 > len(b) {
			return false
		}
		off += 4
	}
	for range int(binary.BigEndian.Uint16(b[6:])) + int(binary.BigEndian.Uint16(b[8:])) + int(binary.BigEndian.Uint16(b[10:])) {
		rr, ok := skim(b, off)
		if !ok {
			return false
		}
		off = rr.end
	}
	return true
}

// typeName returns the mnemonic of a record type.
func typeName(t uint16) string { return dns.Type(t).String() }

// parseType reads a mnemonic or TYPEnnn (RFC 3597 §5).
func parseType(s string) (uint16, bool) {
	s = strings.ToUpper(s)
	if t, ok := dns.StringToType[s]; ok {
		return t, true
	}
	rest, ok := strings.CutPrefix(s, "TYPE")
	if !ok {
		return 0, false
	}
	t, err := strconv.ParseUint(rest, 10, 16)
	return uint16(t), err == nil
}
