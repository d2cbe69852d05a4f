package dnssrv

import (
	"context"
	"fmt"

	"github.com/miekg/dns"
)

// Ask returns the records of a name that the rest of the cell needs to know,
// such as where mail goes. The household's rules do not apply: nothing is
// blocked or rewritten. exists is false for a name that there is not; secure says
// that DNSSEC proves the answer. An error means that nobody could say, or that
// name is none.
func (s *Server) Ask(ctx context.Context, name string, qtype uint16) (rrs []dns.RR, exists, secure bool, err error) {
	n, err := parseName(name)
	if err != nil {
		return nil, false, false, err
	}
	q, err := parse(question2wire(question{name: n, typ: qtype}, true))
	if err != nil {
		return nil, false, false, err
	}
	r, err := s.find(ctx, &q, client{inside: true, plain: true})
	if err != nil {
		return nil, false, false, err
	}
	if r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
		why := rcodeName(r.rcode)
		if r.ede != nil {
			why = inWords(r.ede)
		}
		return nil, false, false, fmt.Errorf("asking for %s: %s", name, why)
	}
	var m dns.Msg
	if err := m.Unpack(message(&q, r, maxSize)); err != nil {
		return nil, false, false, fmt.Errorf("asking for %s: %w", name, err)
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == qtype {
			rrs = append(rrs, rr)
		}
	}
	return rrs, r.rcode == dns.RcodeSuccess, r.secure, nil
}
