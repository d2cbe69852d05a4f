package igd

import (
	"net/netip"
	"time"
)

func (s *Server) answerPMP(from netip.Addr, b []byte, now time.Time) []byte {
	r, err := readPMP(b)
	out := pmpReply{op: r.op, epoch: s.epoch(now), internal: r.internal}
	switch {
	case err != nil:
		return nil
	case r.op > opTCP:
		out.result = unsuppOpPMP
	case !within(from, s.terms.Allow):
		out.result = notAuthorized
	case !s.terms.External.Is4():
		out.result = networkFailed
	case r.op == opAddress:
		out.address = s.terms.External
	case s.byPCP(from, protocolOf(r.op), r.internal):
		out.result = notAuthorized // only who has its nonce changes it (RFC 6887 §11.3)
	case r.life == 0:
		s.forget(from, protocolOf(r.op), r.internal)
	default:
		m, code := s.grant(Mapping{Client: from, Protocol: protocolOf(r.op), Internal: r.internal, External: r.external}, r.life, false, now)
		out.external, out.life, out.result = m.External, seconds(m.Until.Sub(now)), code.pmp()
	}
	return out.bytes()
}

func (s *Server) byPCP(client netip.Addr, protocol uint8, internal uint16) bool {
	m := s.of(client, protocol, internal)
	return m != nil && m.pcp
}

func protocolOf(op byte) uint8 {
	if op == opTCP {
		return TCP
	}
	return UDP
}

// forget ends the mapping of a device's port; of all its ports for 0
// (RFC 6886 §3.4).
func (s *Server) forget(client netip.Addr, protocol uint8, internal uint16) {
	for at, m := range s.open {
		if m.Client == client && m.Protocol == protocol && !m.pcp && (internal == 0 || m.Internal == internal) {
			s.end(at)
		}
	}
}
