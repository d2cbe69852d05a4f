package dnssrv

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/wire"
)

// glance makes an answer of an upstream's reply without taking it apart: where
// it has in plain order what answers q and nothing else, its records are written
// down as they are. It returns nil where that is not so, and digest must look.
// What it returns is what digest would.
func glance(q question, b []byte, m manner) *answer {
	start, ok := wire.Start(b)
	if !ok || wire.Questions(b) != 1 || start != headerLen+len(q.name)+4 || m.guard != nil && q.typ == dns.TypeHTTPS {
		return nil
	}
	g := glimpse{q: q, b: b, m: m, off: start, at: q.name, owner: headerLen, life: maxLife}
	g.answer = &answer{rcode: int(b[3] & 15), tail: make([]byte, 0, len(b)-start)}
	if !g.chain() || !g.found && !g.denial() {
		return nil
	}
	if g.found && (g.rcode != dns.RcodeSuccess || q.do && wire.Count(b, wire.Authority) > 0) {
		return nil
	}
	g.answer.life = time.Duration(g.life) * time.Second
	return g.answer
}

// bound brings a TTL into bounds (RFC 2181 §8).
func bound(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return min(ttl, maxLife)
}

// A glimpse is a reply that is being looked at.
type glimpse struct {
	*answer
	q     question
	b     []byte
	m     manner
	off   int // of the next record
	at    name
	owner int // where at will be in the message that is told
	found bool
	life  uint32
	buf   [2 * maxName]byte
}

// next reads the next record and its owner.
func (g *glimpse) next() (r wire.Record, owner []byte, ok bool) {
	r, ok = wire.Next(g.b, g.off)
	if !ok || r.Class != dns.ClassINET {
		return r, nil, false
	}
	g.off = r.End
	owner, _, ok = wire.Name(g.buf[:0], g.b, r.At)
	return r, owner, ok
}

// chain reads the answer section: CNAMEs from the question on, and the records
// asked for.
func (g *glimpse) chain() bool {
	for range wire.Count(g.b, wire.Answer) {
		r, owner, ok := g.next()
		if !ok || string(owner) != string(g.at) || len(g.tail) > 0x3000 { // how far pointers reach
			return false
		}
		switch {
		case r.Type == g.q.typ:
			g.found = true
		case r.Type == dns.TypeRRSIG && g.q.do && g.found:
		case r.Type == dns.TypeCNAME && !g.found && len(g.aliases) < maxChain-1:
			target, end, ok := wire.Name(g.buf[:0], g.b, r.Data)
			if !ok || end != r.End {
				return false
			}
			g.at = name(target)
			if g.at == g.q.name || slices.Contains(g.aliases, g.at) || g.m.leaves != nil && g.m.leaves(g.at) {
				return false
			}
			g.aliases = append(g.aliases, g.at)
		default:
			return false
		}
		at := len(g.tail)
		if !g.write(0, g.owner, nil, r, bound(r.TTL)) {
			return false
		}
		if r.Type == dns.TypeCNAME && !g.found {
			g.owner = headerLen + len(g.q.name) + 4 + at + 12
		}
	}
	return true
}

// denial reads the authority section, which must be one SOA.
func (g *glimpse) denial() bool {
	if g.rcode != dns.RcodeSuccess && g.rcode != dns.RcodeNameError || wire.Count(g.b, wire.Authority) != 1 {
		return false
	}
	r, owner, ok := g.next()
	if !ok || r.Type != dns.TypeSOA || r.End-r.Data < 22 || !g.at.below(name(owner)) {
		return false
	}
	negative := min(bound(r.TTL), binary.BigEndian.Uint32(g.b[r.End-4:]), maxNegative)
	return g.write(1, 0, owner, r, negative)
}

// write puts the record down, with its owner at an offset of the message that is
// told, or spelled out. It is false where the data is not as it must be.
func (g *glimpse) write(section, at int, owner []byte, r wire.Record, ttl uint32) bool {
	if owner == nil {
		g.tail = append(g.tail, 0xc0|byte(at>>8), byte(at))
	} else {
		g.tail = append(g.tail, owner...)
	}
	g.tail = append(g.tail, g.b[r.TTLAt-4:r.TTLAt]...)
	g.ttls = append(g.ttls, len(g.tail))
	g.tail = binary.BigEndian.AppendUint32(g.tail, ttl)
	size := len(g.tail)
	g.tail = append(g.tail, 0, 0)
	if !g.data(r) {
		return false
	}
	binary.BigEndian.PutUint16(g.tail[size:], uint16(len(g.tail)-size-2))
	g.counts[section]++
	g.life = min(g.life, ttl)
	return true
}

// data writes the data of r, with its names spelled out.
func (g *glimpse) data(r wire.Record) bool {
	data := g.b[r.Data:r.End]
	guarded := g.m.guard != nil
	switch r.Type {
	case dns.TypeA:
		if len(data) != 4 || guarded && g.m.guard.data(data) {
			return false
		}
	case dns.TypeAAAA:
		if len(data) != 16 || guarded && g.m.guard.data(data) {
			return false
		}
	case dns.TypeNS, dns.TypePTR, dns.TypeCNAME:
		return g.names(r, 0, 1, 0)
	case dns.TypeMX:
		return g.names(r, 2, 1, 0)
	case dns.TypeSRV:
		return g.names(r, 6, 1, 0)
	case dns.TypeSOA:
		return g.names(r, 0, 2, 20)
	case dns.TypeRRSIG:
		return len(data) > 18 && binary.BigEndian.Uint16(data) == g.q.typ && g.names(r, 18, 1, -1)
	case dns.TypeTXT:
		if len(data) == 0 {
			return false
		}
		for rest := data; len(rest) > 0; {
			if len(rest) < 1+int(rest[0]) {
				return false
			}
			rest = rest[1+int(rest[0]):]
		}
	case dns.TypeDS, dns.TypeDNSKEY:
		if len(data) < 5 {
			return false
		}
	default:
		return false
	}
	g.tail = append(g.tail, data...)
	return true
}

// names writes data with so many bytes, then names, and then bytes again; -1 is
// one or more.
func (g *glimpse) names(r wire.Record, before, names, after int) bool {
	end := r.Data + before
	if end >= r.End {
		return false
	}
	g.tail = append(g.tail, g.b[r.Data:end]...)
	for range names {
		var ok bool
		if g.tail, end, ok = wire.Name(g.tail, g.b, end); !ok || end > r.End {
			return false
		}
	}
	if left := r.End - end; left != after && (after >= 0 || left == 0) {
		return false
	}
	g.tail = append(g.tail, g.b[end:r.End]...)
	return true
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
