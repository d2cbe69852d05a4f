package dnssrv

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

// special reports whether q is more than a plain question about data: signed, or
// something that name servers and programs say to each other.
func (q *query) special() bool {
	switch q.opcode() {
	case dns.OpcodeNotify, dns.OpcodeUpdate:
		return true
	case dns.OpcodeQuery:
		return q.signed || q.typ == dns.TypeIXFR || q.typ == dns.TypeAXFR
	}
	return false
}

// peer answers the special message b, as respond does. Such messages are not
// subject to the allowed prefixes, but to the partners and keys of their zone;
// what is signed by nobody we know costs one look into a map.
func (s *Server) peer(run context.Context, b []byte, q *query, c client, limit func(*query) int) (out []byte, later func() []byte) {
	t := s.table.Load()
	session, bare, refused, err := s.verify(t, b)
	switch {
	case err != nil:
		s.count.dropped.Add(1)
		return nil, nil
	case refused != nil:
		s.count.refused.Add(1)
		return refused, nil
	}
	c.seen = nil // an answer to this one is for this one alone
	switch {
	case q.opcode() == dns.OpcodeUpdate:
		if session == nil && !holds(t.conf.Allow, c.from) {
			s.count.refused.Add(1)
			return reject(b, dns.RcodeRefused, nil), nil
		}
		bare = append([]byte(nil), bare...)
		return nil, func() []byte { return reject(bare, s.update(run, bare, c, session), session) }
	case q.opcode() == dns.OpcodeNotify:
		return reject(bare, s.notified(bare, c, session), session), nil
	case q.typ == dns.TypeIXFR && c.proto == overUDP:
		return s.ixfrDatagram(t, bare, q, c, session), nil
	case q.typ == dns.TypeAXFR && c.proto == overUDP:
		return reject(bare, dns.RcodeRefused, session), nil // whole zones need a stream
	case q.typ == dns.TypeAXFR, q.typ == dns.TypeIXFR:
		bare = append([]byte(nil), bare...)
		asked := *q
		return nil, func() []byte { return s.transfer(run, bare, &asked, c, session) }
	}
	if session == nil || transfer.Signed(bare) {
		// Signed by one reading and not by the other, or twice.
		return reject(b, dns.RcodeFormatError, nil), nil
	}
	if p := t.peers[q.name]; p != nil {
		_, second := among(p.secondaries, c.from, session.Key())
		_, first := among(p.primaries, c.from, session.Key())
		c.inside = c.inside || second || first
	}
	room := func(q *query) int { return limit(q) - session.Overhead() }
	out, rest := s.respond(run, bare, c, room)
	switch {
	case out != nil:
		return session.Sign(out, time.Now()), nil
	case rest != nil:
		return nil, func() []byte { return session.Sign(rest(), time.Now()) }
	}
	return nil, nil
}

// verify checks the signature of b, if it has one. refused is the answer where
// the signature does not count.
func (s *Server) verify(t *table, b []byte) (session *transfer.Session, bare, refused []byte, err error) {
	if !transfer.Signed(b) {
		return nil, b, nil, nil
	}
	session, bare, err = t.keys.Verify(b, time.Now())
	var bad *transfer.SignatureError
	if errors.As(err, &bad) {
		s.log.Debug("signature refused", "err", err)
		rcode := dns.RcodeNotAuth
		if bad.Code == dns.RcodeFormatError {
			rcode = dns.RcodeFormatError
		}
		return nil, nil, session.Refuse(reject(b, rcode, nil), bad, time.Now()), nil
	}
	return session, bare, nil, err
}

// reject is the answer to b with nothing but a response code. It is signed by
// session, if there is one.
func reject(b []byte, rcode int, session *transfer.Session) []byte {
	out := make([]byte, headerLen)
	copy(out, b[:4])
	out[2] = out[2]&0x79 | 0x80 // opcode and RD
	out[3] = byte(rcode & 15)
	if end := plainName(b, headerLen); binary.BigEndian.Uint16(b[4:]) == 1 && end > 0 && end+4 <= len(b) {
		out = append(out, b[headerLen:end+4]...)
		out[5] = 1
	}
	if session != nil {
		return session.Sign(out, time.Now())
	}
	return out
}

// invited reports whether an unsigned question of a client beyond the allowed
// prefixes is one that a partner of the zone asks.
func (t *table) invited(q *query, from netip.Addr) bool {
	p := t.peers[q.name]
	if p == nil || q.typ != dns.TypeSOA {
		return false
	}
	_, ok := among(p.secondaries, from, "")
	return ok
}
