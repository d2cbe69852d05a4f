package dnssrv

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Handshakes under way: they cost more than answers, and who begins many and
// ends none must not keep others out.
const (
	maxShakes        = 64
	maxShakesPerHost = 16
)

// tlsConfig is how encrypted listeners speak the protocol.
func (s *Server) tlsConfig(protocol string) *tls.Config {
	return &tls.Config{
		GetCertificate: s.opt.Certificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{protocol},
	}
}

// serveTLS answers DNS over TLS (RFC 7858) on the connections that l accepts
// until it is closed. Who may not ask is turned away before the handshake.
func (s *Server) serveTLS(run context.Context, l net.Listener) {
	conf := s.tlsConfig("dot")
	s.accept(run, l, s.secure, func(conn net.Conn, c client) {
		if !s.welcome(c.from) {
			s.count.refused.Add(1)
			return
		}
		t := tls.Server(conn, conf)
		if !s.shake(run, t, c.from) {
			return
		}
		c.proto = overTLS
		c.id = s.table.Load().says(t.ConnectionState().ServerName)
		s.stream(run, t, s.secure, c)
	})
}

// shake does the handshake, if not too many are under way.
func (s *Server) shake(run context.Context, t *tls.Conn, from addr) bool {
	if !s.shakes.enter(from) {
		return false
	}
	defer s.shakes.leave(from)
	t.SetDeadline(time.Now().Add(shake))
	if err := t.HandshakeContext(run); err != nil {
		s.log.Debug("no handshake", "addr", from, "err", err)
		return false
	}
	t.SetDeadline(time.Time{})
	return true
}
