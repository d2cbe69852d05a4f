package dnssrv

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/querylog"
)

// Whoever is beyond the house may not be who he says, and the answers go to
// somebody else who never asked. So they are rationed (response rate limiting):
// per network and per what is said, as the document's dns.responses wants it. A
// client that shows a cookie of ours has proven its address.

const (
	strangers4 = 24 // bits of a network that counts as one
	strangers6 = 56
)

// far reports whether a client at a is beyond the loopback, the LAN and the VPN.
// No router passes link-local addresses on.
func (t *table) far(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsLoopback() && !a.IsLinkLocalUnicast() && !holds(t.conf.VPN, a) && !t.conf.LAN.Masked().Contains(a.WithZone(""))
}

// ration judges the answer out to a stranger who asked over UDP. It returns what
// may be sent of it, which is empty for nothing, and whether that is the whole. q
// is the client's message, o what its OPT record says.
func (s *Server) ration(t *table, out, q []byte, o *opt, c client, now time.Time) (part []byte, whole bool) {
	if t.responses == 0 || len(out) < headerLen {
		return out, true
	}
	if ok, _ := s.cookies.ours(&o.cookie, c.from, now); ok {
		return out, true
	}
	key := s.gistOf(out) ^ s.answers.network(c.from, strangers4, strangers6)
	switch s.answers.judge(key, t.responses, now) {
	case pass:
		return out, true
	case slip:
		s.count.slipped.Add(1)
		if o.cookie.n > 0 {
			return s.turned(q, o, c, dns.RcodeBadCookie), false
		}
		return s.turned(q, o, c, dns.RcodeSuccess), false
	}
	s.count.dropped.Add(1)
	return nil, false
}

// rationed is what a stranger gets of out, a hit of w, which may be nothing. It
// counts and notes the hit as what becomes of it.
func (s *Server) rationed(g *sighting, w *warm, c client, b, out []byte, now time.Time) []byte {
	part, whole := s.ration(g.hot.basis.table, out, b, &g.opt, c, now)
	if whole {
		s.told(g, w, c, now)
		return part
	}
	less := w.less.Load()
	if less == nil {
		less = limited(w.told)
		w.less.Store(less)
	}
	s.note(g.ring, c, g.view, less, now, 0)
	if part == nil {
		part = out[:0] // it is no miss
	}
	return part
}

// limited is what the log has of a question whose answer told was not given.
func limited(told *querylog.Told) *querylog.Told {
	if told == nil {
		return nil
	}
	less := *told
	less.Verdict, less.Answer = querylog.Limited, ""
	less.Reason = "dns.responses allows no more of this answer to the network that asks"
	return &less
}

// gistOf hashes what an answer is about.
func (s *Server) gistOf(out []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(s.answers.seed)
	gist(&h, out)
	return h.Sum64()
}

// gist writes what an answer is about: an error by its code alone, the absence
// of a name by the zone that says so, so that names made up do not make many of
// one, and all else by name and type.
func gist(h *maphash.Hash, out []byte) {
	h.WriteByte(out[3] & 15)
	rcode := int(out[3] & 15)
	end := plainName(out, headerLen)
	if binary.BigEndian.Uint16(out[4:]) == 0 || end < 0 || end+4 > len(out) {
		return
	}
	answers, authority := binary.BigEndian.Uint16(out[6:]), binary.BigEndian.Uint16(out[8:])
	switch {
	case rcode == dns.RcodeSuccess && answers > 0:
		h.Write(out[end : end+4])
		writeLower(h, out[headerLen:end])
	case rcode == dns.RcodeSuccess || rcode == dns.RcodeNameError:
		if zone := owner(out, end+4); authority > 0 && zone != nil {
			writeLower(h, zone)
			return
		}
		writeLower(h, out[headerLen:end])
	}
}

// owner returns the name of the record at off, which the whole message b has,
// as the part of the question that it points to; nil for any other.
func owner(b []byte, off int) []byte {
	if off+2 > len(b) || b[off] < 0xc0 {
		return nil
	}
	at := int(binary.BigEndian.Uint16(b[off:]) & 0x3fff)
	end := plainName(b, at)
	if at < headerLen || end < 0 {
		return nil
	}
	return b[at:end]
}

func writeLower(h *maphash.Hash, b []byte) {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h.WriteByte(c)
	}
}

// turned is the answer to the query q that says nothing but to come back: with a
// cookie where code is BADCOOKIE (RFC 7873 §5.2.3), over TCP otherwise. It is nil
// where q cannot be answered.
func (s *Server) turned(q []byte, o *opt, c client, code int) []byte {
	if len(q) < headerLen || q[2]&0x80 != 0 {
		return nil
	}
	end := headerLen
	if binary.BigEndian.Uint16(q[4:]) == 1 {
		if end = plainName(q, headerLen) + 4; end < headerLen+4 || end > len(q) {
			return nil
		}
	}
	b := make([]byte, end, end+optLen+len(o.cookie.b)+maxName)
	copy(b, q[:end])
	flags := binary.BigEndian.Uint16(q[2:])&(0x7800|flagRD|flagCD) | flagQR | flagRA | uint16(code&15)
	if code == dns.RcodeSuccess {
		flags |= flagTC
	}
	binary.BigEndian.PutUint16(b[2:], flags)
	clear(b[6:headerLen])
	if o.edns {
		b[11] = 1
	}
	return o.record(b, code, s.greeting(nil, o, c))
}
