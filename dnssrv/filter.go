package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/service"
	"pic/dnssrv/policy"
)

// blockedTTL is how long a client may remember that a name is blocked, in
// seconds: not long, for rules, schedules and pauses change.
const blockedTTL = 10

// verdicts are policy's actions in words.
var verdicts = [...]string{policy.None: "", policy.Allow: "allowed", policy.Block: "blocked", policy.Rewrite: "rewritten"}

func (c *Config) policy() policy.Config {
	return policy.Config{Filter: c.DNS.Filter, People: policy.People(c.People)}
}

// course follows a question to where it is answered: by rewrites, then through
// the cell's own zones, then by what is said of all other names. ok is false
// where the name last is to be found out from others; r then has the aliases that
// led to it.
func (m *moment) course(v *policy.View, q *query) (r reply, last name, ok bool) {
	if v == nil {
		return m.resolve(q)
	}
	at := q          // q itself stays as it is
	var led []dns.RR // the aliases so far
	var judged *policy.Decision
	for range maxAliases {
		if d, ok := v.Rewrite(string(at.name), q.typ); ok {
			said := d // here alone on the heap: most questions are about names that nobody has rules for
			judged = &said
			if d.Target == "" {
				return m.rewritten(at, led, judged), at.name, true
			}
			led = append(led, alias(at.presented(), d))
			at = at.led(d)
			continue
		}
		r, last, ok = m.resolve(at)
		if len(led) > 0 {
			r.answer, r.aa, r.via = append(led[:len(led):len(led)], r.answer...), false, viaRewritten
		}
		r.judged = judged
		if ok || q.typ == dns.TypeANY {
			return r, last, ok
		}
		d := v.Decide(string(last), q.typ)
		if d.Action != policy.None {
			said := d
			judged = &said
			r.judged = judged
		}
		switch {
		case d.Action == policy.Block:
			return m.blocked(q, judged), last, true
		case d.Action != policy.Rewrite:
			return r, last, false
		}
		if last != at.name {
			further := *at
			further.name, further.asked = last, []byte(last)
			at = &further
		}
		if d.Target == "" {
			return m.rewritten(at, r.answer, judged), last, true
		}
		led = append(r.answer[:len(r.answer):len(r.answer)], alias(at.presented(), d))
		at = at.led(d)
	}
	return reply{answer: led, via: viaRewritten, judged: judged}, at.name, true // a loop, told as it is
}

// led returns q as it asks for where d leads.
func (q *query) led(d policy.Decision) *query {
	to := *q
	to.name, to.asked = name(d.Target), []byte(d.Target)
	return &to
}

// alias is the CNAME by which d leads elsewhere.
func alias(owner string, d policy.Decision) dns.RR {
	return &dns.CNAME{
		Hdr:    dns.RR_Header{Name: owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: blockedTTL},
		Target: name(d.Target).String(),
	}
}

// rewritten is the answer where the name at leads to addresses or nowhere.
func (m *moment) rewritten(at *query, led []dns.RR, d *policy.Decision) reply {
	r := reply{rcode: d.Rcode, answer: led[:len(led):len(led)], via: viaRewritten, judged: d}
	for _, a := range d.Addrs {
		r.answer = append(r.answer, address(at.presented(), a, blockedTTL))
	}
	if d.Rcode != dns.RcodeSuccess && d.Reason != policy.ByRewrite {
		r.ede = because(d)
	}
	if len(d.Addrs) == 0 && (d.Rcode == dns.RcodeSuccess || d.Rcode == dns.RcodeNameError) {
		r.ns = denial(at.name, d.Rcode)
	}
	return r
}

// blocked is the answer to q, whose name is blocked or leads to one that is.
func (m *moment) blocked(q *query, d *policy.Decision) reply {
	r := reply{ede: because(d), via: viaBlocked, judged: d}
	switch m.conf.DNS.Filter.Answer {
	case config.BlockRefused:
		r.rcode = dns.RcodeRefused
		return r
	case config.BlockNXDomain:
		r.rcode = dns.RcodeNameError
	case config.BlockNoData:
	default:
		switch q.typ {
		case dns.TypeA:
			r.answer = []dns.RR{address(q.presented(), netip.IPv4Unspecified(), blockedTTL)}
			return r
		case dns.TypeAAAA:
			r.answer = []dns.RR{address(q.presented(), netip.IPv6Unspecified(), blockedTTL)}
			return r
		}
	}
	r.ns = denial(q.name, r.rcode)
	return r
}

// denial is the SOA that says for how long there is nothing at n.
func denial(n name, rcode int) []dns.RR {
	if rcode == dns.RcodeNameError {
		n = n.parent()
	}
	return []dns.RR{&dns.SOA{
		Hdr:    dns.RR_Header{Name: n.String(), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: blockedTTL},
		Ns:     "blocked.invalid.",
		Mbox:   "hostmaster.blocked.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: blockedTTL,
	}}
}

// because says why a name is not answered as others would.
func because(d *policy.Decision) *ede {
	e := &ede{code: dns.ExtendedErrorCodeBlocked}
	switch {
	case d.Reason == policy.ByService:
		e.code, e.text = dns.ExtendedErrorCodeFiltered, "service "+d.Rule
	case d.Reason == policy.BySchedule:
		e.code, e.text = dns.ExtendedErrorCodeFiltered, fmt.Sprintf("schedule of %s: %s", d.List, d.Rule)
	case d.Reason == policy.ByList:
		e.text = fmt.Sprintf("list %s: %s", d.List, d.Rule)
	case d.List != "":
		e.text = fmt.Sprintf("rule of %s: %s", d.List, d.Rule)
	default:
		e.text = "rule: " + d.Rule
	}
	const most = 80
	if len(e.text) > most {
		at := most
		for !utf8.RuneStart(e.text[at]) {
			at--
		}
		e.text = e.text[:at]
	}
	return e
}

// uncloaked joins what others told to the aliases that led to them, unless it
// leads on to a name that is blocked: by a CNAME, or by what HTTPS and SVCB
// records name. A name that a rule lets through may lead anywhere.
func (m *moment) uncloaked(v *policy.View, q *query, next question, got, r reply) reply {
	out := join(r, next, got)
	out.judged = r.judged
	if v == nil || !leads(got.tail) || r.judged != nil && r.judged.Action == policy.Allow {
		return out
	}
	msg, err := unpack(next, got)
	if err != nil {
		return out
	}
	for _, rr := range msg.Answer {
		var target string
		switch rr := rr.(type) {
		case *dns.CNAME:
			target = rr.Target
		case *dns.DNAME:
			target = rr.Target
		case *dns.SVCB:
			target = rr.Target
		case *dns.HTTPS:
			target = rr.Target
		}
		n, err := parseName(target)
		if target == "" || err != nil || n == root || n == next.name {
			continue
		}
		d := v.Decide(string(n), next.typ)
		if d.Action == policy.Block || d.Action == policy.Rewrite && d.Target == "" && len(d.Addrs) == 0 {
			b := m.blocked(q, &d)
			b.born, b.life = got.born, got.life // no longer than the answer
			return b
		}
	}
	return out
}

// leads reports whether there is a record in an answer that names another.
func leads(tail []byte) bool {
	for off := 0; off < len(tail); {
		rr, ok := skim(tail, off)
		if !ok {
			return false
		}
		switch rr.typ {
		case dns.TypeCNAME, dns.TypeDNAME, dns.TypeSVCB, dns.TypeHTTPS:
			return true
		}
		off = rr.end
	}
	return false
}

var errNotServing = errors.New("the name server does not run")

// addresses finds the addresses of a host for the cell itself, whatever clients
// may not resolve.
func (s *Server) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	n, err := parseName(host)
	if err != nil {
		return nil, err
	}
	run := s.running.Load()
	if run == nil {
		return nil, errNotServing
	}
	var out []netip.Addr
	var why *ede
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, snap := s.present()
		m := moment{table: t, who: t.conf.asker(loopback4, loopback4), snap: snap}
		r, last, ok := m.resolve(&query{name: n, asked: []byte(n), typ: typ})
		if !ok {
			next := question{name: last, typ: typ}
			got, hit := s.beyond.cached(next)
			if !hit {
				got = s.beyond.resolve(*run, next)
			}
			if r = join(r, next, got); r.tail != nil {
				if msg, err := unpack(next, r); err == nil {
					r.answer = msg.Answer
				}
			}
			why = r.ede
		}
		for _, rr := range r.answer {
			switch rr := rr.(type) {
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					out = append(out, a)
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA); ok {
					out = append(out, a)
				}
			}
		}
	}
	if len(out) == 0 && why != nil {
		return nil, errors.New(why.text)
	}
	return out, nil
}

// Lists returns how the lists of names are doing.
func (s *Server) Lists() []policy.ListStatus { return s.filter.Status() }

// RefreshList looks at a list now, or with "" at all of them, and returns once it
// is in force.
func (s *Server) RefreshList(ctx context.Context, name string) error {
	return s.filter.Refresh(ctx, name)
}

// Pause stops filtering for a while, for a group or with "" for everybody; no
// time ends a pause. The error is about the group.
func (s *Server) Pause(d time.Duration, group string) error { return s.filter.Pause(d, group) }

// Paused returns until when what is paused.
func (s *Server) Paused() map[string]time.Time { return s.filter.Paused() }

// BlockedNames is how many names the lists in force have.
func (s *Server) BlockedNames() int { return s.filter.Current().Names() }

// BlockServices returns the services that can be blocked as a whole.
func (s *Server) BlockServices() []policy.ServiceInfo { return policy.Services() }

// filterProblems lists the lists that are not as they should be.
func (s *Server) filterProblems() []service.Problem {
	if !config.On(s.table.Load().conf.DNS.Filter.Enabled) {
		return nil
	}
	var old, missing []string
	var since time.Time
	for _, l := range s.filter.Status() {
		if l.Disabled || l.Error == "" {
			continue
		}
		if since.IsZero() || l.Since.Before(since) {
			since = l.Since
		}
		text := fmt.Sprintf("%s: %s", l.Name, l.Error)
		if l.Checked.IsZero() {
			missing = append(missing, text)
		} else {
			old = append(old, fmt.Sprintf("%s (as of %s)", text, l.Checked.Format("2006-01-02 15:04")))
		}
	}
	var out []service.Problem
	if len(missing) > 0 {
		out = append(out, service.Problem{
			Code: "dns/list-missing", Title: "A list of names is not in force, because it could never be fetched",
			Text: strings.Join(missing, "; "), Fix: "See whether the address in dns.filter.lists is right and the internet connection is up.",
			Severity: service.Warning, Since: since,
		})
	}
	if len(old) > 0 {
		out = append(out, service.Problem{
			Code: "dns/list-old", Title: "A list of names could not be refreshed; the copy before is in force",
			Text: strings.Join(old, "; "), Fix: "If it stays so, look for its new address and put that into dns.filter.lists.",
			Severity: service.Warning, Since: since,
		})
	}
	return out
}
