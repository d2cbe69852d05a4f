package validate

import (
	"github.com/miekg/dns"
)

// judge follows the answer m from the question to its end, or to where it leaves.
func (j *job) judge(q dns.Question, m *dns.Msg, leaves func(string) bool) Result {
	at := toName(q.Name)
	if at == "" || q.Qclass != dns.ClassINET || q.Qtype == dns.TypeRRSIG ||
		m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return Result{} // nobody signs such
	}
	answer, ns := sets(m.Answer), sets(m.Ns)
	total, reason := Secure, (*fault)(nil)
	add := func(s State, f *fault) bool {
		if worse(total, s) != total || reason == nil {
			reason = f
		}
		total = worse(total, s)
		return total != Bogus
	}
	seen, rcode := map[name]bool{}, m.Rcode
	for {
		if seen[at] || len(seen) > maxAliases {
			add(Bogus, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: "its aliases lead nowhere"})
			break
		}
		seen[at] = true
		if wanted := asked(answer, at, q.Qtype); len(wanted) > 0 {
			if len(wanted) > maxSets {
				add(Bogus, errWork)
			}
			for _, s := range wanted {
				if total == Bogus || !add(j.one(s, answer, ns)) {
					break
				}
			}
			rcode = dns.RcodeSuccess
			break
		}
		next, state, f := j.alias(at, answer, ns)
		if next == "" {
			state, f, rcode = j.negative(at, q.Qtype, ns, m.Rcode)
			add(state, f)
			break
		}
		if !add(state, f) {
			break
		}
		if leaves != nil && leaves(string(next)) {
			rcode = dns.RcodeSuccess // the other is about the end of the chain
			break
		}
		at = next
	}
	limit(answer)
	limit(ns)
	if total == Secure {
		m.Rcode = rcode
		m.Answer, m.Ns, m.Extra = proven(answer), proven(ns), options(m)
	}
	r := Result{State: total}
	if reason != nil {
		r.Code, r.Text, r.Brief = reason.code, reason.text, reason.brief
	}
	return r
}

// asked returns the sets that the question is about.
func asked(answer []*set, n name, typ uint16) (out []*set) {
	for _, s := range answer {
		if s.owner == n && len(s.rrs) > 0 && (s.typ == typ || typ == dns.TypeANY) {
			out = append(out, s)
		}
	}
	return out
}

// one judges a set that was asked for. An alias may follow from a DNAME.
func (j *job) one(s *set, answer, ns []*set) (State, *fault) {
	if s.typ == dns.TypeCNAME {
		if next, state, f := j.alias(s.owner, answer, ns); next != "" {
			return state, f
		}
	}
	return j.positive(s, ns)
}

// positive judges a set of the answer; ns has what proves a wildcard.
func (j *job) positive(s *set, ns []*set) (State, *fault) {
	state, f := j.authenticate(s)
	if state == Secure && s.from != "" {
		state, f = j.noCloser(j.evidence(s.zone, ns), s.owner, s.from)
	}
	s.part = state == Secure
	return state, f
}

// alias judges the CNAME at n, and returns where it leads; nothing, where there
// is none.
func (j *job) alias(n name, answer, ns []*set) (next name, _ State, _ *fault) {
	s := find(answer, n, dns.TypeCNAME)
	if s == nil {
		return "", 0, nil
	}
	c, ok := s.rrs[0].(*dns.CNAME)
	if !ok {
		return "", 0, nil
	}
	if next = toName(c.Target); next == "" {
		return "", 0, nil
	}
	// A DNAME above the trust anchor is none of its business.
	lowest := j.v.anchor(n)
	for at := n; at != root && at != lowest; {
		at = at.parent()
		d := find(answer, at, dns.TypeDNAME)
		if d == nil {
			continue
		}
		state, f := j.positive(d, ns)
		if state != Secure {
			return next, state, f
		}
		// What follows from a DNAME is not signed (RFC 6672 §5.3.1).
		to, ok := d.rrs[0].(*dns.DNAME)
		if !ok || len(s.canonical()) != 1 || next != substitute(n, at, toName(to.Target)) {
			return next, Bogus, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: s.about() + " is not what its DNAME makes of it"}
		}
		s.zone, s.part, s.ttl = d.zone, true, min(d.ttl, c.Hdr.Ttl)
		s.sigs = nil
		return next, Secure, nil
	}
	state, f := j.positive(s, ns)
	if state == Secure && len(s.canonical()) > 1 {
		state, f = Bogus, &fault{code: dns.ExtendedErrorCodeDNSBogus, text: n.String() + " has several aliases"}
	}
	return next, state, f
}

// substitute replaces the end of n by to (RFC 6672 §2.2); nothing, where that is
// too long.
func substitute(n, end, to name) name {
	out := n[:len(n)-len(end)] + to
	if to == "" || len(out) > 255 {
		return ""
	}
	return out
}

// limit brings the TTLs of verified sets down to what their signatures allow.
func limit(all []*set) {
	for _, s := range all {
		if s.zone == nil {
			continue
		}
		for _, rr := range s.rrs {
			rr.Header().Ttl = min(rr.Header().Ttl, s.ttl)
		}
		for _, sig := range s.sigs {
			sig.Hdr.Ttl = min(sig.Hdr.Ttl, s.ttl)
		}
	}
}

// proven returns the records that are a proven part of the answer, with their
// signatures.
func proven(all []*set) (out []dns.RR) {
	for _, s := range all {
		if !s.part {
			continue
		}
		out = append(out, s.rrs...)
		for _, sig := range s.sigs {
			if toName(sig.SignerName) == s.zone.apex {
				out = append(out, sig)
			}
		}
	}
	return out
}

func options(m *dns.Msg) (out []dns.RR) {
	if o := m.IsEdns0(); o != nil {
		out = append(out, o)
	}
	return out
}
