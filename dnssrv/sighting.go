package dnssrv

import (
	"encoding/binary"
	"net/netip"
	"time"

	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
)

// A sighting is a query as far as the kept messages tell queries apart. One is
// used again and again, so that a hit needs no memory.
type sighting struct {
	opt
	hot *hot
	identity
	hash uint64
	end  int // of the question section
	n    int // of key
	// key is the name in lower case, type, class, and the flags that matter.
	key [maxName + 5]byte

	out   []byte    // room for an answer; made if there is none
	ready []byte    // room for options of the answer
	count *counters // where hits count; nil: with all others
	known *acquaintances
	ring  *querylog.Ring // of who sees; nil: none
	held  bool           // neither it nor the query is used for another until this is answered
}

// An audience is who asks, as far as answers depend on it.
type audience struct {
	asker
	view uint32 // what is filtered for them; see [policy.View.ID]
}

// An identity is what is known of a client.
type identity struct {
	who     audience
	view    *policy.View // what is filtered for him
	allowed bool         // to ask
	far     bool         // beyond the house
}

func (h *hot) identify(c client) identity {
	t, v := h.basis.table, h.basis.set.View(c.from, c.id)
	a := t.conf.asker(c.from, c.to)
	a.exit = t.exitOf(c.from)
	return identity{audience{a, v.ID()}, v, holds(t.conf.Allow, c.from), t.far(c.from)}
}

// Bits at the end of sighting.key.
const (
	asksDO = 1 << iota
	asksRD
	asksCD
	asksAD
)

// read fills s from the message b; it is false where the message is not a plain
// query, which is for parse to judge.
func (s *sighting) read(b []byte) bool {
	if len(b) < headerLen || len(b) > maxSize {
		return false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	if flags&(flagQR|0x7800) != 0 || binary.BigEndian.Uint32(b[4:]) != 1<<16 {
		return false
	}
	end := plainName(b, headerLen)
	if end < 0 || end+4 > len(b) {
		return false
	}
	s.opt = opt{size: minSize}
	authority, more := binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
	if authority|more == 0 {
		if len(b) != end+4 {
			return false
		}
	} else if s.additional(b, end+4, int(authority), int(more)) != nil || s.version != 0 || s.signed {
		return false
	}
	s.end, s.n = end+4, end-headerLen
	for i, c := range b[headerLen:end] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		s.key[i] = c
	}
	s.n += copy(s.key[s.n:], b[end:end+4])
	var class byte
	if s.do {
		class |= asksDO
	}
	if flags&flagRD != 0 {
		class |= asksRD
	}
	if flags&flagCD != 0 {
		class |= asksCD
	}
	if flags&flagAD != 0 {
		class |= asksAD
	}
	s.key[s.n] = class
	s.n++
	return true
}

// asked is the question that s saw.
func (s *sighting) asked() question {
	at := s.n - 5
	return question{
		name: name(s.key[:at]), typ: binary.BigEndian.Uint16(s.key[at:]),
		do: s.key[s.n-1]&asksDO != 0, cd: s.key[s.n-1]&asksCD != 0,
	}
}

// hold returns a copy for an answer that comes later. What nobody else uses is
// its own copy.
func (s *sighting) hold() *sighting {
	if s.held {
		return s
	}
	c := new(sighting)
	s.copyTo(c)
	return c
}

// copyTo makes c the copy of s for an answer that comes later.
func (s *sighting) copyTo(c *sighting) {
	c.opt, c.hot, c.identity, c.hash, c.end, c.n = s.opt, s.hot, s.identity, s.hash, s.end, s.n
	copy(c.key[:], s.key[:s.n])
	c.held = true
}

const (
	acquainted = 64          // clients that one worker remembers
	staleAfter = time.Second // what is remembered of one is found out again
)

// Acquaintances are the clients that one worker heard of lately. Who they are is
// found out once a second and not for every query.
type acquaintances [acquainted]struct {
	hot      *hot
	from, to netip.Addr
	until    time.Time
	identity
}

// recognise finds out who c is.
func (g *sighting) recognise(h *hot, c client, now time.Time) {
	if g.known == nil || c.id != "" {
		g.identity = h.identify(c)
		return
	}
	a, b := c.from.As16(), c.to.As16()
	k := &g.known[(a[15]^a[14]<<3^a[13]<<5^b[15]<<1)%acquainted]
	if k.hot != h || k.from != c.from || k.to != c.to || !now.Before(k.until) {
		k.hot, k.from, k.to, k.until = h, c.from, c.to, now.Add(staleAfter)
		k.identity = h.identify(c)
	}
	g.identity = k.identity
}

// still reports whether c is who it was taken for, so that an answer made for him
// since is one for all who are.
func (g *sighting) still(c client) bool { return g.hot != nil && g.hot.identify(c).who == g.who }
