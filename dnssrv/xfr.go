package dnssrv

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

const (
	maxTransfers = 8           // of zones to others at a time
	maxSending   = time.Minute // of one
)

var (
	errTransfers  = errors.New("too many transfers at a time")
	errSlow       = errors.New("the other side takes too long")
	errOneMessage = errors.New("the zone does not fit into the one message that this transport carries")
)

// transfer answers the AXFR or IXFR question b of a stream. It sends all
// messages but the last by c.more, and returns that; nil breaks the connection.
func (s *Server) transfer(run context.Context, b []byte, q *query, c client, session *transfer.Session) []byte {
	t, _ := s.present()
	who, rcode := t.mayTransfer(q, c.from, session.Key())
	log := s.log.With("zone", undot(q.name.String()), "to", c.from)
	if rcode != dns.RcodeSuccess {
		s.count.refused.Add(1)
		log.Info("transfer refused", "key", undot(session.Key()), "rcode", rcodeName(rcode))
		return reject(b, rcode, session)
	}
	select {
	case s.keeper.sending <- struct{}{}:
		defer func() { <-s.keeper.sending }()
	default:
		log.Warn("transfer refused", "err", errTransfers)
		return reject(b, dns.RcodeServerFailure, session)
	}
	content, history, err := s.contents(q.name)
	if err != nil {
		log.Warn("transfer refused", "err", err)
		return reject(b, dns.RcodeServerFailure, session)
	}
	start := time.Now()
	var last []byte
	sender, err := transfer.NewSender(b, session, func(b []byte) error {
		switch {
		case last != nil && c.more == nil:
			return errOneMessage
		case time.Since(start) > maxSending:
			return errSlow
		case run.Err() != nil:
			return run.Err()
		}
		former := last
		if last = b; former == nil {
			return nil
		}
		return c.more(former)
	})
	if err == nil {
		if have, ok := transfer.HaveSerial(b); q.typ == dns.TypeIXFR && ok {
			err = sender.Reply(content, history, have)
		} else {
			err = sender.Whole(content)
		}
	}
	if err != nil {
		log.Info("transfer broke off", "err", err)
		return nil
	}
	s.sent(q.name, t.peers[q.name], who, content.Serial())
	log.Info("zone transferred", "type", typeName(q.typ), "serial", content.Serial(), "dur", time.Since(start))
	return last
}

// mayTransfer returns which partner asks for the zone.
func (t *table) mayTransfer(q *query, from netip.Addr, key string) (partner, int) {
	z := t.zones[q.name]
	switch {
	case q.class != dns.ClassINET || z == nil:
		return partner{}, dns.RcodeNotAuth
	case t.peers[q.name] == nil:
		return partner{}, dns.RcodeRefused
	}
	who, ok := among(t.peers[q.name].secondaries, from, key)
	switch {
	case !ok:
		return partner{}, dns.RcodeRefused
	case z.absent:
		return who, dns.RcodeServerFailure
	}
	return who, dns.RcodeSuccess
}

// ixfrDatagram answers IXFR over UDP with the SOA alone, by which the other side
// sees whether to come back over TCP (RFC 1995 §2).
func (s *Server) ixfrDatagram(t *table, b []byte, q *query, c client, session *transfer.Session) []byte {
	_, rcode := t.mayTransfer(q, c.from, session.Key())
	if rcode != dns.RcodeSuccess {
		s.count.refused.Add(1)
		return reject(b, rcode, session)
	}
	t, _ = s.present()
	soa, err := transfer.Wire(t.zones[q.name].soa)
	if err != nil {
		return reject(b, dns.RcodeServerFailure, session)
	}
	var out []byte
	sender, err := transfer.NewSender(b, session, func(b []byte) error {
		out = b
		return nil
	})
	if err == nil {
		err = sender.Current(soa)
	}
	if err != nil {
		return reject(b, dns.RcodeServerFailure, session)
	}
	return out
}

// contents returns what the zone holds at this moment, and how it came to it.
func (s *Server) contents(apex name) (*transfer.Content, *transfer.History, error) {
	k := s.keeper
	k.looking.Lock()
	defer k.looking.Unlock()
	t, _ := s.present()
	z := t.zones[apex]
	if z == nil || z.absent {
		return nil, nil, errors.New("the zone is not here any more")
	}
	k.mu.Lock()
	at := k.zones[apex]
	if at == nil {
		at = &tracked{}
		k.zones[apex] = at
	}
	old, history := at.content, at.history
	k.mu.Unlock()
	if old != nil && old.Serial() == z.soa.Serial {
		return old, &history, nil
	}
	var content *transfer.Content
	var err error
	if z.kind == Secondary {
		content = s.keeper.copyOf(apex)
	} else {
		content, err = t.content(z)
	}
	if err != nil || content == nil {
		return nil, nil, errors.Join(err, errors.New("the zone cannot be told"))
	}
	if old != nil {
		history.Add(content.Diff(old))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	at.content, at.history, at.since = content, history, time.Now()
	return content, &history, nil
}
