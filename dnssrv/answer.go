package dnssrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"pic/core/names"
	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
)

// maxAliases bounds the CNAMEs that are followed from zone to zone.
const maxAliases = 8

// A client is who sent a message, how, and to which of our addresses.
type client struct {
	from, to netip.Addr
	proto    proto
	id       string    // what it calls itself, in the path of DoH or the server name of TLS
	inside   bool      // served without regard to the allowed prefixes
	plain    bool      // nothing is filtered or rewritten
	seen     *sighting // where the answer may be kept; nil: nowhere
	// more sends a message of an answer that has several, before the last one. It
	// is nil where a transport carries one only.
	more func([]byte) error
}

// A proto is how a query travels.
type proto uint8

const (
	overUDP proto = iota
	overTCP
	overTLS   // RFC 7858
	overHTTPS // RFC 8484
	overQUIC  // RFC 9250
)

// A via says where an answer came from.
type via int

const (
	viaZone via = iota
	viaCache
	viaUpstream
	viaBlocked   // by what the household does not want
	viaRewritten // likewise, to what it wants instead
)

// respond answers the message b. Where that takes others, out is nil and the
// answer is what later returns, within two seconds; b may be used again at
// once, unless c.seen is held. Both are nil where nothing must be sent.
func (s *Server) respond(run context.Context, b []byte, c client, limit func(*query) int) (out []byte, later func() []byte) {
	q, err := parse(b)
	if err == errNoAnswer {
		s.count.dropped.Add(1)
		return nil, nil
	}
	if err == nil && q.special() {
		return s.peer(run, b, &q, c, limit)
	}
	q.proto = c.proto
	if q.personal() {
		q.ready = s.greeting(nil, &q.opt, c)
	}
	start, view := time.Now(), s.filter.Current().View(c.from, c.id)
	var told *querylog.Told
	t, _ := s.present()
	give := func(_ *query, out []byte) ([]byte, bool) { return out, true }
	if c.proto == overUDP && t.far(c.from) {
		b := bytes.Clone(b)
		give = func(q *query, out []byte) ([]byte, bool) { return s.ration(t, out, b, &q.opt, c, time.Now()) }
	}
	say := func(q *query, r reply) (out []byte, whole bool) {
		out = message(q, r, limit(q))
		told = account(q, &r, out)
		noted := told
		if out, whole = give(q, out); !whole {
			noted = limited(told)
		}
		s.note(nil, c, view, noted, start, time.Since(start))
		return out, whole
	}
	done := func(q *query, r reply) []byte {
		out, whole := say(q, r)
		if whole {
			s.count.answered(r.rcode, r.via)
		}
		return out
	}
	if !c.inside && !holds(t.conf.Allow, c.from) && !t.invited(&q, c.from) {
		s.count.refused.Add(1)
		if err != nil {
			return nil, nil
		}
		r := reply{rcode: dns.RcodeRefused, ede: edeProhibited}
		if c.proto == overUDP { // anybody may have written the address, so it must not fill the log
			out, _ = give(&q, message(&q, r, limit(&q)))
			return out, nil
		}
		out, _ = say(&q, r)
		return out, nil
	}
	if err != nil {
		return done(&q, reply{rcode: dns.RcodeFormatError}), nil
	}
	r, rest := s.decide(t, &q, c)
	if rest == nil {
		out = done(&q, r)
		if c.seen != nil && c.seen.still(c) && q.typ != dns.TypeANY { // whose answer depends on the transport
			s.keep(c.seen, t, &q, r, told)
		}
		return out, nil
	}
	if c.seen == nil || !c.seen.held {
		q.raw = append([]byte(nil), q.raw...) // b is somebody else's soon
		q.asked = q.raw[:len(q.asked)]
	}
	var seen *sighting
	if c.seen != nil && c.seen.hot != nil {
		seen = c.seen.hold()
	}
	return nil, func() []byte {
		r := rest(run)
		out := done(&q, r)
		if seen != nil && seen.still(c) {
			s.keep(seen, t, &q, r, told)
		}
		return out
	}
}

// decide answers q from what is at hand; else it returns what is left to do.
func (s *Server) decide(t *table, q *query, c client) (r reply, rest func(context.Context) reply) {
	if r, ok := refuse(q); ok {
		return r, nil
	}
	m := moment{
		table: t, who: t.conf.asker(c.from, c.to), snap: t.snap, do: q.edns && q.do, whole: c.proto != overUDP,
	}
	m.who.exit = t.exitOf(c.from)
	beyond := s.asks(m.who.exit)
	var view *policy.View
	if !c.plain {
		view = s.filter.Current().View(c.from, c.id)
	}
	r, last, ok := m.course(view, q)
	if ok {
		return r, nil
	}
	if q.typ == dns.TypeANY {
		owner := last.String()
		if last == q.name {
			owner = q.presented()
		}
		r.answer = append(r.answer, minimal(owner)) // RFC 8482
		return r, nil
	}
	next := question{name: last, typ: q.typ, do: q.edns && q.do, cd: q.flags&flagCD != 0}
	if got, ok := beyond.cached(next); ok {
		got.via = viaCache
		return m.uncloaked(view, q, next, got, r), nil
	}
	if q.flags&flagRD == 0 {
		r.fleeting = true // until others have asked
		if len(r.answer) > 0 {
			return r, nil
		}
		return reply{rcode: dns.RcodeRefused, fleeting: true, ede: &ede{dns.ExtendedErrorCodeNotAuthoritative, ""}}, nil
	}
	return r, func(run context.Context) reply {
		got := beyond.resolve(run, next)
		got.via = viaUpstream
		return m.uncloaked(view, q, next, got, r)
	}
}

func (s *Server) snapshot() *names.Snapshot {
	if s.names == nil {
		return nil
	}
	return s.names()
}

// refuse answers what is no question about data, whatever its name.
func refuse(q *query) (reply, bool) {
	switch {
	case q.opcode() != dns.OpcodeQuery:
		return reply{rcode: dns.RcodeNotImplemented}, true
	case len(q.raw) == 0: // a cookie is all it wants
		return reply{}, true
	case q.edns && q.version != 0:
		return reply{rcode: dns.RcodeBadVers}, true
	case q.typ == dns.TypeNone, q.typ == dns.TypeOPT:
		return reply{rcode: dns.RcodeFormatError, ede: edeType}, true
	case q.class != dns.ClassINET, q.typ == dns.TypeAXFR, q.typ == dns.TypeIXFR:
		return reply{rcode: dns.RcodeRefused, ede: edeNotHere}, true
	case q.typ >= dns.TypeTKEY && q.typ < dns.TypeANY:
		return reply{rcode: dns.RcodeNotImplemented, ede: edeType}, true
	}
	return reply{}, false
}

// resolve follows the question through the zones. ok is false where the name
// last is not theirs; r then has the aliases that led to it.
func (m *moment) resolve(q *query) (r reply, last name, ok bool) {
	at := q.name
	seen := []name{at}
	for range maxAliases {
		o, ok := m.local(at, q.typ)
		if !ok {
			return r, at, false
		}
		if at == q.name {
			r.aa = o.aa
			owner := at.String()
			for _, rr := range o.answer { // the owner in the case of the question
				if rr.Header().Name == owner {
					rr.Header().Name = q.presented()
				}
			}
		}
		r.rcode, r.extra, r.ede = o.rcode, o.extra, o.ede
		r.ns = union(r.ns, o.ns) // those of aliases are proofs of wildcards
		r.answer = append(r.answer, o.answer...)
		if o.further == "" {
			m.accompany(&r)
			return r, at, true
		}
		at = o.further
		for _, n := range seen {
			if n == at {
				return r, at, true // a loop, told as it is
			}
		}
		seen = append(seen, at)
	}
	return r, at, true
}

// union returns the records of a and those of b that a has not got.
func union(a, b []dns.RR) []dns.RR {
	out := a[:len(a):len(a)]
	for _, rr := range b {
		if !slices.ContainsFunc(a, func(have dns.RR) bool { return dns.IsDuplicate(have, rr) }) {
			out = append(out, rr)
		}
	}
	return out
}

// join puts the answer to next behind the aliases of r.
func join(r reply, next question, got reply) reply {
	if len(r.answer) == 0 {
		return got
	}
	m, err := unpack(next, got)
	if err != nil {
		return failure(edeInvalid)
	}
	return reply{
		rcode: got.rcode, aa: r.aa, ede: got.ede, via: got.via, stale: got.stale, upstream: got.upstream,
		answer: append(r.answer[:len(r.answer):len(r.answer)], m.Answer...), ns: append(r.ns[:len(r.ns):len(r.ns)], m.Ns...),
	}
}

// unpack reads the records of the answer to next.
func unpack(next question, got reply) (*dns.Msg, error) {
	b := make([]byte, headerLen, headerLen+len(next.name)+4+len(got.tail))
	b[5] = 1
	for i, n := range got.counts {
		binary.BigEndian.PutUint16(b[6+2*i:], n)
	}
	b = append(b, next.name...)
	b = binary.BigEndian.AppendUint16(b, next.typ)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	m := new(dns.Msg)
	return m, m.Unpack(append(b, got.tail...))
}

// A Result is what a client would be told.
type Result struct {
	Rcode         string        `json:"rcode"` // NOERROR, NXDOMAIN, SERVFAIL, ...
	Authoritative bool          `json:"authoritative"`
	Answer        []string      `json:"answer"`            // records in presentation format
	Authority     []string      `json:"authority"`         // the same
	Reason        string        `json:"reason,omitempty"`  // why it failed
	Verdict       string        `json:"verdict,omitempty"` // blocked, allowed or rewritten; empty: nothing is said of it
	List          string        `json:"list,omitempty"`    // the list that decided, or the group
	Rule          string        `json:"rule,omitempty"`    // the rule that did
	Source        string        `json:"source"`            // zone, cache, upstream, stale or policy
	Secure        bool          `json:"secure,omitempty"`  // checked by DNSSEC
	Took          time.Duration `json:"took"`
}

// Lookup answers as a client at from would be; the zero from is the host
// itself. name may be of any script, and an address if typ is PTR. The error is
// [ErrType] or about name; failures of resolution are a Result.
func (s *Server) Lookup(ctx context.Context, name, typ string, from netip.Addr) (Result, error) {
	code, ok := parseType(typ)
	if !ok {
		return Result{}, ErrType
	}
	name = ASCII(strings.TrimSpace(name))
	if a, err := netip.ParseAddr(name); err == nil && code == dns.TypePTR {
		name, _ = dns.ReverseAddr(a.Unmap().WithZone("").String())
	}
	n, err := parseName(name)
	if err != nil {
		return Result{}, err
	}
	q, err := parse(question2wire(question{name: n, typ: code}, true))
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	r, err := s.find(ctx, &q, client{from: from, inside: true})
	if err != nil {
		return Result{}, err
	}
	var m dns.Msg
	if err := m.Unpack(message(&q, r, maxSize)); err != nil {
		return Result{}, err
	}
	out := Result{
		Rcode: rcodeName(r.rcode), Authoritative: r.aa, Answer: lines(m.Answer), Authority: lines(m.Ns),
		Source: sourceOf(&r).String(), Secure: r.secure, Took: time.Since(start),
	}
	if d := r.judged; d != nil {
		out.Verdict, out.List, out.Rule = verdicts[d.Action], d.List, d.Rule
	}
	if r.ede != nil {
		out.Reason = inWords(r.ede)
	}
	return out, nil
}

// find answers a question of this process itself.
func (s *Server) find(ctx context.Context, q *query, c client) (reply, error) {
	t, _ := s.present()
	r, rest := s.decide(t, q, c)
	if rest == nil {
		return r, nil
	}
	got := make(chan reply, 1)
	go func() {
		defer close(got)
		defer s.guard(c.from)
		got <- rest(context.WithoutCancel(ctx)) // others may have joined
	}()
	select {
	case found, ok := <-got:
		if !ok {
			return failure(edeInvalid), nil
		}
		return found, nil
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// ASCII returns a name of any script as DNS has it (RFC 5891); what cannot be
// written so stays as it is.
func ASCII(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return name
	}
	if s, err := idna.Lookup.ToASCII(name); err == nil {
		return s
	}
	return name
}

func lines(rrs []dns.RR) []string {
	out := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		out = append(out, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return out
}
