package dnssrv

import (
	"errors"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxChain    = 16        // CNAMEs in a row
	maxLife     = 24 * 3600 // seconds an answer is kept at most
	maxNegative = 3600      // seconds a missing name is kept at most (RFC 2308 §5)
	withheld    = 60        // seconds that it is kept that all of an answer was taken away
)

var (
	errLoop     = errors.New("the answer is a loop of CNAMEs")
	errReferral = errors.New("the answer is a referral: the upstream does not recurse")
)

func digest(q question, m *dns.Msg) (*answer, error) { return manner{}.digest(q, m) }

// digest keeps of an upstream's message what answers q and nothing else: the
// chain of CNAMEs to the records asked for, or the SOA that says they are not
// there, and the signatures that a client with DO wants. Records about other
// names never get into the cache. It may change m.
func (o manner) digest(q question, m *dns.Msg) (*answer, error) {
	a := &answer{rcode: m.Rcode}
	a.ede = o.guard.filter(m)
	d := digester{q: q, leaves: o.leaves, byOwner: map[string][]dns.RR{}, renamed: map[string]bool{}}
	asked := q.name.String()
	for _, rr := range m.Answer {
		if rr.Header().Class == dns.ClassINET {
			owner := dns.CanonicalName(rr.Header().Name)
			if owner == asked {
				rr.Header().Name = asked // it may be in the mixed case that we asked in
			}
			d.byOwner[owner] = append(d.byOwner[owner], rr)
		}
	}
	last, found, err := d.chain()
	if err != nil {
		return nil, err
	}
	a.aliases, a.further = d.aliases, d.further
	switch {
	case a.further != "":
		a.rcode = dns.RcodeSuccess // what is said about the end of the chain is not its business
		found = true
	case !found || m.Rcode == dns.RcodeNameError:
		if err := d.denial(m, last); err != nil && a.ede == nil {
			return nil, err
		}
	case q.do:
		d.proof(m)
	}
	life := uint32(maxLife)
	for _, rr := range append(d.answer[:len(d.answer):len(d.answer)], d.ns...) {
		h := rr.Header()
		h.Ttl = bound(h.Ttl)
		life = min(life, h.Ttl)
	}
	if !found {
		life = min(life, d.negative)
		if a.ede != nil {
			life = max(life, withheld)
		}
	}
	a.life = time.Duration(life) * time.Second
	return a, a.pack(q, d.answer, d.ns)
}

type digester struct {
	q          question
	leaves     func(name) bool
	byOwner    map[string][]dns.RR
	renamed    map[string]bool // owners of DNAMEs that are taken
	answer, ns []dns.RR
	negative   uint32 // seconds that the denial may be kept
	aliases    []name
	further    name // where the chain leads that others are asked about
}

// chain follows the CNAMEs from the question to their end. found reports
// whether there are records of the type asked for.
func (d *digester) chain() (last string, found bool, err error) {
	at := dns.CanonicalName(d.q.name.String())
	seen := map[string]bool{}
	for range maxChain {
		if seen[at] {
			return "", false, errLoop
		}
		seen[at] = true
		if d.take(at, d.q.typ) {
			return at, true, nil
		}
		next := d.cname(at)
		if next == "" {
			return at, false, nil
		}
		at = next
		n, err := parseName(next)
		if err != nil {
			return "", false, err
		}
		d.aliases = append(d.aliases, n)
		if d.leaves != nil && d.leaves(n) {
			d.further = n
			return at, false, nil
		}
	}
	return "", false, errLoop
}

// take moves the records of that owner and type, and their signatures, to the
// answer.
func (d *digester) take(owner string, typ uint16) bool {
	found := false
	for _, rr := range d.byOwner[owner] {
		if rr.Header().Rrtype == typ {
			d.answer = append(d.answer, rr)
			found = true
		}
	}
	if found && d.q.do && typ != dns.TypeRRSIG {
		for _, rr := range d.byOwner[owner] {
			if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == typ {
				d.answer = append(d.answer, rr)
			}
		}
	}
	return found
}

// cname takes the alias at owner and returns where it leads, or nothing. An
// alias made by a DNAME comes with it (RFC 6672 §3.1).
func (d *digester) cname(owner string) string {
	for _, rr := range d.byOwner[owner] {
		c, ok := rr.(*dns.CNAME)
		if !ok {
			continue
		}
		for up, end := dns.NextLabel(owner, 0); !end; up, end = dns.NextLabel(owner, up) {
			if at := owner[up:]; !d.renamed[at] && d.take(at, dns.TypeDNAME) {
				d.renamed[at] = true
			}
		}
		d.answer = append(d.answer, c)
		if d.q.do {
			for _, rr := range d.byOwner[owner] {
				if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == dns.TypeCNAME {
					d.answer = append(d.answer, rr)
				}
			}
		}
		return dns.CanonicalName(c.Target)
	}
	return ""
}

// denial takes the records that say that there is nothing at name.
func (d *digester) denial(m *dns.Msg, name string) error {
	referral := false
	for _, rr := range m.Ns {
		if rr.Header().Class != dns.ClassINET {
			continue
		}
		switch rr := rr.(type) {
		case *dns.SOA:
			if dns.IsSubDomain(rr.Hdr.Name, name) && d.negative == 0 {
				d.negative = min(bound(rr.Hdr.Ttl), rr.Minttl, maxNegative)
				d.ns = append(d.ns, rr)
			}
		case *dns.NS:
			referral = true
		case *dns.NSEC, *dns.NSEC3, *dns.RRSIG:
			if d.q.do {
				d.ns = append(d.ns, rr)
			}
		}
	}
	if referral && len(d.ns) == 0 && len(d.answer) == 0 && m.Rcode == dns.RcodeSuccess && !m.Authoritative {
		return errReferral
	}
	for _, rr := range d.ns {
		rr.Header().Ttl = min(bound(rr.Header().Ttl), d.negative)
	}
	return nil
}

// proof takes what shows that an answer made of a wildcard may be so
// (RFC 4035 §3.1.3.3).
func (d *digester) proof(m *dns.Msg) {
	for _, rr := range m.Ns {
		sig, ok := rr.(*dns.RRSIG)
		typ := rr.Header().Rrtype
		if ok {
			typ = sig.TypeCovered
		}
		if rr.Header().Class == dns.ClassINET && (typ == dns.TypeNSEC || typ == dns.TypeNSEC3) {
			d.ns = append(d.ns, rr)
		}
	}
}

// pack writes the sections as they stand after the question of q, and notes
// where their TTLs are.
func (a *answer) pack(q question, answer, ns []dns.RR) error {
	if len(answer)+len(ns) == 0 {
		return nil
	}
	m := dns.Msg{Compress: true, Answer: answer, Ns: ns}
	m.Question = []dns.Question{{Name: q.name.String(), Qtype: q.typ, Qclass: dns.ClassINET}}
	b, err := m.Pack()
	if err != nil {
		return err
	}
	at := headerLen + len(q.name) + 4
	a.tail = append([]byte(nil), b[at:]...)
	a.counts = [3]uint16{uint16(len(answer)), uint16(len(ns))}
	for off := at; off < len(b); {
		rr, ok := skim(b, off)
		if !ok {
			return errFormat
		}
		a.ttls = append(a.ttls, rr.ttlAt-at)
		off = rr.end
	}
	return nil
}

// reason returns the extended error that an upstream gave, nil without one.
func reason(m *dns.Msg) *ede {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			text := strings.Map(func(c rune) rune {
				if c < ' ' || c > '~' {
					return -1
				}
				return c
			}, e.ExtraText)
			return &ede{e.InfoCode, text}
		}
	}
	return nil
}
