package dnssrv

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/wire"
)

// glance makes an answer of an upstream's reply without taking it apart: where
// it has in plain order what answers q and nothing else, its bytes are kept as
// they are. It returns nil where that is not so, and digest must look. What it
// returns is what digest would.
func glance(q question, b []byte, m manner) *answer {
	start, ok := wire.Start(b)
	if !ok || wire.Questions(b) != 1 || start != headerLen+len(q.name)+4 || m.guard != nil && q.typ == dns.TypeHTTPS {
		return nil
	}
	g := glimpse{q: q, b: b, m: m, off: start, at: q.name}
	g.answer = &answer{rcode: int(b[3] & 15)}
	g.life = maxLife
	g.note(headerLen)
	if !g.chain() {
		return nil
	}
	negative := !g.found
	if negative && !g.denial() {
		return nil
	}
	if g.found && (g.rcode != dns.RcodeSuccess || q.do && wire.Count(b, wire.Authority) > 0) {
		return nil
	}
	a := g.answer
	a.life = time.Duration(g.life) * time.Second
	if len(g.ttls) == 0 {
		return a
	}
	a.tail = append(make([]byte, 0, g.off-start), b[start:g.off]...)
	for i, at := range a.ttls {
		ttl := bound(binary.BigEndian.Uint32(a.tail[at-start:]))
		if i >= int(a.counts[0]) {
			ttl = min(ttl, g.negative)
		}
		a.ttls[i] = at - start
		binary.BigEndian.PutUint32(a.tail[a.ttls[i]:], ttl)
	}
	for _, at := range g.owners {
		small(a.tail[at-start:])
	}
	return a
}

// bound brings a TTL into bounds (RFC 2181 §8).
func bound(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return min(ttl, maxLife)
}

// small makes the letters of a name small, up to its end or a pointer: they may
// be in the mixed case that we asked in.
func small(b []byte) {
	for len(b) > 0 && b[0] != 0 && b[0] < 64 && len(b) > int(b[0]) {
		n := int(b[0])
		copy(b[1:1+n], lower(b[1:1+n]))
		b = b[1+n:]
	}
}

// A glimpse is a reply that is being looked at.
type glimpse struct {
	*answer
	q        question
	b        []byte
	m        manner
	off      int // of the next record
	at       name
	found    bool
	life     uint32
	negative uint32
	owners   []int // names spelled out that are the question's
	labels   int
	starts   [maxStarts]uint16 // where labels begin that names may point to
	buf      [2 * maxName]byte
}

// maxStarts is how many labels a reply may have that is but glanced at.
const maxStarts = 96

// name reads the name at off into buf. A pointer must lead to a label that was
// read before: TTLs are counted down where they are, and no name may be made of
// them.
func (g *glimpse) name(buf []byte, off int) (n []byte, end int, ok bool) {
	if n, end, ok = wire.Name(buf[:0], g.b, off); !ok {
		return nil, 0, false
	}
	if g.b[end-1] != 0 || end-off >= 2 && g.b[end-2] >= 0xc0 {
		to := binary.BigEndian.Uint16(g.b[end-2:]) & 0x3fff
		if !slices.Contains(g.starts[:g.labels], to) {
			return nil, 0, false
		}
	}
	return n, end, g.note(off)
}

// note remembers where the labels of the name at off begin.
func (g *glimpse) note(off int) bool {
	for g.b[off] != 0 && g.b[off] < 64 {
		if g.labels == maxStarts || off > 0x3fff {
			return off > 0x3fff // no pointer leads there
		}
		g.starts[g.labels] = uint16(off)
		g.labels++
		off += 1 + int(g.b[off])
	}
	return true
}

// next reads the next record and its owner.
func (g *glimpse) next() (r wire.Record, owner []byte, ok bool) {
	r, ok = wire.Next(g.b, g.off)
	if !ok || r.Class != dns.ClassINET {
		return r, nil, false
	}
	owner, _, ok = g.name(g.buf[:maxName], r.At)
	return r, owner, ok
}

// take counts the record in.
func (g *glimpse) take(section int, r wire.Record) {
	g.ttls = append(g.ttls, r.TTLAt)
	g.counts[section]++
	g.life = min(g.life, bound(r.TTL))
	g.off = r.End
}

// chain reads the answer section: CNAMEs from the question on, and the records
// asked for.
func (g *glimpse) chain() bool {
	for range wire.Count(g.b, wire.Answer) {
		r, owner, ok := g.next()
		if !ok || string(owner) != string(g.at) {
			return false
		}
		if len(g.aliases) == 0 && g.b[r.At] < 64 {
			g.owners = append(g.owners, r.At)
		}
		switch {
		case r.Type == g.q.typ:
			if !g.plain(r) {
				return false
			}
			g.found = true
		case r.Type == dns.TypeRRSIG && g.q.do && g.found && g.signs(r):
		case r.Type == dns.TypeCNAME && !g.found && len(g.aliases) < maxChain-1:
			target, end, ok := g.name(g.buf[:maxName], r.Data)
			if !ok || end != r.End {
				return false
			}
			g.at = name(target)
			if g.at == g.q.name || slices.Contains(g.aliases, g.at) {
				return false
			}
			if g.m.leaves != nil && g.m.leaves(g.at) {
				return false
			}
			g.aliases = append(g.aliases, g.at)
		default:
			return false
		}
		g.take(0, r)
	}
	return true
}

// plain reports whether the data of r is as it must be, and such that its bytes
// can be kept.
func (g *glimpse) plain(r wire.Record) bool {
	data := g.b[r.Data:r.End]
	guarded := g.m.guard != nil
	switch r.Type {
	case dns.TypeA:
		return len(data) == 4 && !(guarded && g.m.guard.data(data))
	case dns.TypeAAAA:
		return len(data) == 16 && !(guarded && g.m.guard.data(data))
	case dns.TypeNS, dns.TypePTR, dns.TypeCNAME:
		return g.named(r, 0)
	case dns.TypeMX:
		return g.named(r, 2)
	case dns.TypeTXT:
		for len(data) > 0 {
			if len(data) < 1+int(data[0]) {
				return false
			}
			data = data[1+int(data[0]):]
		}
		return r.End > r.Data
	case dns.TypeDS:
		return len(data) > 4
	case dns.TypeDNSKEY:
		return len(data) > 4
	}
	return false
}

// signs reports whether r is a signature of the records asked for.
func (g *glimpse) signs(r wire.Record) bool {
	if r.End-r.Data <= 18 || binary.BigEndian.Uint16(g.b[r.Data:]) != g.q.typ {
		return false
	}
	_, end, ok := g.name(g.buf[maxName:], r.Data+18)
	return ok && end < r.End
}

// named reports whether the data of r is a name after so many bytes.
func (g *glimpse) named(r wire.Record, after int) bool {
	if r.End-r.Data <= after {
		return false
	}
	_, end, ok := g.name(g.buf[maxName:], r.Data+after)
	return ok && end == r.End
}

// denial reads the authority section, which must be one SOA, and with DO what
// proves it.
func (g *glimpse) denial() bool {
	if g.rcode != dns.RcodeSuccess && g.rcode != dns.RcodeNameError {
		return false
	}
	soa := false
	var rest []wire.Record
	for range wire.Count(g.b, wire.Authority) {
		r, owner, ok := g.next()
		if !ok {
			return false
		}
		switch {
		case r.Type == dns.TypeSOA && !soa && g.at.below(name(owner)):
			end, ok := g.names(r, 2)
			if !ok || end+20 != r.End {
				return false
			}
			soa = true
			g.negative = min(bound(r.TTL), binary.BigEndian.Uint32(g.b[r.End-4:]), maxNegative)
		case g.q.do && (r.Type == dns.TypeNSEC || r.Type == dns.TypeNSEC3 || r.Type == dns.TypeRRSIG):
			return false // left to who takes it apart
		default:
			return false
		}
		rest = append(rest, r)
		g.off = r.End
	}
	if !soa {
		return false
	}
	for _, r := range rest {
		g.take(1, r)
	}
	g.life = min(g.life, g.negative)
	return true
}

// names skips so many names at the beginning of the data of r.
func (g *glimpse) names(r wire.Record, n int) (end int, ok bool) {
	end = r.Data
	for range n {
		if _, end, ok = g.name(g.buf[maxName:], end); !ok || end > r.End {
			return 0, false
		}
	}
	return end, true
}

// rcodeOf returns the response code of a reply, with the part that is in its OPT
// record.
func rcodeOf(b []byte) int {
	code := int(b[3] & 15)
	for _, r := range wire.Records(b) {
		if r.Type == dns.TypeOPT {
			code |= int(r.TTL>>24) << 4
		}
	}
	return code
}
