package dnssrv

import "github.com/miekg/dns"

// maxCompany bounds the hosts whose addresses go with an answer.
const maxCompany = 16

// accompany adds to r the addresses of the hosts that its records name, as far
// as they are in the cell's own zones, so that a client need not ask again
// (RFC 1035 §3.3.9, RFC 2782, RFC 9460 §4.2).
func (m *moment) accompany(r *reply) {
	if !r.aa || r.rcode != dns.RcodeSuccess {
		return
	}
	told := map[name]bool{}
	for _, rr := range r.answer {
		target, ok := hostOf(rr)
		if !ok || told[target] || len(told) == maxCompany {
			continue
		}
		told[target] = true
		z := m.above(target)
		if z == nil {
			continue
		}
		if _, what := z.above(target, dns.TypeA); what != 0 {
			continue
		}
		at := z.at(m, target)
		if at == nil {
			continue
		}
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			r.extra = append(r.extra, z.signed(m, at.set(m, target, typ))...)
		}
	}
}

// hostOf returns the host that a record leads to, where its addresses are of use
// with it.
func hostOf(rr dns.RR) (name, bool) {
	var target string
	switch rr := rr.(type) {
	case *dns.NS:
		target = rr.Ns
	case *dns.MX:
		target = rr.Mx
	case *dns.SRV:
		target = rr.Target
	case *dns.SVCB:
		target = serviceHost(rr)
	case *dns.HTTPS:
		target = serviceHost(&rr.SVCB)
	}
	if target == "" || target == "." {
		return "", false
	}
	n, err := parseName(target)
	return n, err == nil
}

// serviceHost returns the host of a record in ServiceMode; that of an alias is
// another name, which the client asks for.
func serviceHost(rr *dns.SVCB) string {
	switch {
	case rr.Priority == 0:
		return ""
	case rr.Target == ".":
		return rr.Hdr.Name
	}
	return rr.Target
}
