package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/dnssrv/sign"
	"pic/dnssrv/validate"
)

// randomZone is a document whose cell has a zone of random records, and names
// found out beside them.
func randomZone(r *rand.Rand) (*config.Document, *names.Snapshot) {
	d := signedLab()
	d.DNS.Records, d.DNS.Zones = nil, nil
	label := func() string {
		return []string{"a", "b", "c", "*", "lan", "x-1", "zz", "_tcp"}[r.IntN(8)]
	}
	owner := func() string {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = label()
		}
		return strings.Join(parts, ".")
	}
	kinds := []config.Record{
		{Type: "A", Value: "192.168.1.9"},
		{Type: "AAAA", Value: "fd00::9"},
		{Type: "TXT", Value: "text"},
		{Type: "MX", Value: "10 a"},
		{Type: "CNAME", Value: "a"},
		{Type: "CNAME", Value: "nowhere"},
		{Type: "DNAME", Value: "b.oak.home.arpa"},
		{Type: "NS", Value: "ns.elsewhere.home.arpa"},
		{Type: "DS", Value: "1 13 2 " + strings.Repeat("0a", 32)},
	}
	for range 1 + r.IntN(12) {
		rec := kinds[r.IntN(len(kinds))]
		rec.Name = owner()
		d.DNS.Records = append(d.DNS.Records, rec)
		if _, err := compile(From(d), 1); err != nil { // they do not go together
			d.DNS.Records = d.DNS.Records[:len(d.DNS.Records)-1]
		}
	}
	reg := names.New("oak.home.arpa")
	var hosts []names.Host
	for range r.IntN(6) {
		hosts = append(hosts, names.Host{
			Name:  strings.NewReplacer("*", "q", "_", "w").Replace(owner()) + ".oak.home.arpa",
			Addrs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.168.1.%d", 100+r.IntN(100)))}, TTL: time.Hour,
		})
	}
	reg.Publish(names.Leases, hosts)
	return d, reg.Snapshot()
}

// A proof is the NSEC records of an answer.
type proof []*dns.NSEC

func (p proof) at(n name) *dns.NSEC {
	for _, x := range p {
		if mustName(x.Hdr.Name) == n {
			return x
		}
	}
	return nil
}

// covers returns the record that says that n does not exist (RFC 4035 §5.4).
func (p proof) covers(n name) *dns.NSEC {
	for _, x := range p {
		from, to := mustName(x.Hdr.Name), mustName(x.NextDomain)
		after := sign.Compare(string(from), string(n)) < 0
		before := sign.Compare(string(n), string(to)) < 0 || sign.Compare(string(to), string(from)) <= 0
		// What is below a delegation or a DNAME is not for this zone to deny.
		cut := n.below(from) && (slices.Contains(x.TypeBitMap, dns.TypeNS) && !slices.Contains(x.TypeBitMap, dns.TypeSOA) || slices.Contains(x.TypeBitMap, dns.TypeDNAME))
		if after && before && !cut {
			return x
		}
	}
	return nil
}

// closest returns the closest encloser of n that the record covering it shows.
func closest(x *dns.NSEC, n name) name {
	best := root
	for _, other := range []name{mustName(x.Hdr.Name), mustName(x.NextDomain)} {
		for m := n; m != root; m = m.parent() {
			if other.below(m) && len(m) > len(best) {
				best = m
				break
			}
		}
	}
	return best
}

// Whatever a zone holds, whoever asks and whatever has been found out: each
// answer is what it would be unsigned, each signature verifies, and each thing
// that is denied is denied as the standard wants it (RFC 4035 §3.1.3, §5.4).
func FuzzProofs(f *testing.F) {
	for i := range 25 {
		f.Add(uint64(i))
	}
	k := sign.New(func() (o sign.Options) {
		var so Options
		sealing(&so, f.TempDir())
		return sign.Options{Log: slog.New(slog.DiscardHandler), Dir: so.Dir, Seal: so.Seal, Unseal: so.Unseal}
	}())
	k.Follow([]string{"oak.home.arpa."})
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		d, snap := randomZone(r)
		ring := k.Ring("oak.home.arpa.")
		tab, err := version{serial: 1, ring: func(n name) *sign.Ring {
			if n == mustName("oak.home.arpa") {
				return ring
			}
			return nil
		}}.compile(From(d))
		if err != nil {
			t.Fatal(err)
		}
		z := tab.zones[mustName("oak.home.arpa")]
		for range 20 {
			from := []string{fromHost, fromLAN, fromVPN, fromVPN6, "172.16.0.1"}[r.IntN(5)]
			m := &moment{table: tab, who: tab.conf.asker(netip.MustParseAddr(from), netip.Addr{}), snap: snap, do: true}
			parts := make([]string, r.IntN(4))
			for i := range parts {
				parts[i] = []string{"a", "b", "c", "zz", "q", "lan", "home", "x-1", "*", "_tcp", "m"}[r.IntN(11)]
			}
			n := mustName(strings.Join(append(parts, "oak.home.arpa"), "."))
			typ := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeDS, dns.TypeCNAME, dns.TypeNS, dns.TypeMX}[r.IntN(7)]
			plain := *m
			plain.do = false
			got, want := z.find(m, n, typ), z.find(&plain, n, typ)
			at := fmt.Sprintf("seed %d: %s %s from %s in\n%s", seed, n, typeName(typ), from, zoneText(z, m))
			if got.rcode != want.rcode || got.further != want.further || lined(got.answer) != lined(want.answer) {
				t.Fatalf("signed it is %v %v, unsigned %v %v: %s", got.rcode, got.answer, want.rcode, want.answer, at)
			}
			verifySections(t, ring, got, at)
			var p proof
			for _, rr := range got.ns {
				if x, ok := rr.(*dns.NSEC); ok {
					p = append(p, x)
				}
			}
			checkProof(t, z, got, p, n, typ, at)
			judge(t, m, ring, n, typ, at)
		}
	})
}

// judge lets our own validator, which knows nothing of how we sign, have its say.
func judge(t *testing.T, m *moment, ring *sign.Ring, n name, typ uint16, at string) {
	t.Helper()
	asked := func(n name, typ uint16) (*dns.Msg, error) {
		var out dns.Msg
		q, err := parse(question2wire(question{name: n, typ: typ, do: true}, true))
		if err != nil {
			return nil, err
		}
		r, _, ok := m.resolve(&q)
		if !ok {
			r = reply{rcode: dns.RcodeRefused}
		}
		return &out, out.Unpack(message(&q, r, maxSize))
	}
	fetch := func(_ context.Context, qname string, typ uint16) (*dns.Msg, error) {
		return asked(mustName(qname), typ)
	}
	ds := ring.DS()[0].(*dns.DS)
	msg, err := asked(n, typ)
	if err != nil {
		t.Fatal(err)
	}
	if !msg.Authoritative || n == mustName(ring.Zone()) && typ == dns.TypeDS {
		return // a referral, which no resolver would hand on, or what is above the anchor
	}
	if slices.ContainsFunc(msg.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNS }) {
		return // aliases that lead to a referral
	}
	if typ == dns.TypeCNAME && msg.Answer != nil && msg.Answer[0].Header().Rrtype == dns.TypeDNAME {
		return // an alias that is made of a DNAME has no signature of its own
	}
	aliases := 0
	for _, rr := range msg.Answer {
		c, ok := rr.(*dns.CNAME)
		if !ok {
			continue
		}
		aliases++
		if aliases == maxAliases || slices.ContainsFunc(msg.Answer, func(rr dns.RR) bool {
			return rr.Header().Rrtype == dns.TypeCNAME && dns.CanonicalName(rr.Header().Name) == dns.CanonicalName(c.Target)
		}) && typ != dns.TypeCNAME && strings.HasSuffix(lined(msg.Answer), "CNAME\t"+c.Target+"\n") {
			return // a loop, which is told as it is and leads nobody anywhere
		}
	}
	got := validate.New([]*dns.DS{ds}, fetch, validate.Options{}).Validate(t.Context(), msg.Question[0], msg)
	if got.State != validate.Secure {
		t.Fatalf("the validator finds it %v (%s): %v\n%s", got.State, got.Text, msg, at)
	}
}

// checkProof checks that the NSEC records say what the answer says.
func checkProof(t *testing.T, z *zone, o outcome, p proof, n name, typ uint16, at string) {
	t.Helper()
	has := func(x *dns.NSEC, typ uint16) bool { return x != nil && slices.Contains(x.TypeBitMap, typ) }
	wild := name("")
	for _, rr := range o.answer {
		if sig, ok := rr.(*dns.RRSIG); ok && int(sig.Labels) < mustName(sig.Hdr.Name).labels() && !strings.HasPrefix(sig.Hdr.Name, "*.") {
			wild = n
		}
	}
	switch {
	case o.rcode == dns.RcodeNameError:
		x := p.covers(n)
		if x == nil || p.covers(star(closest(x, n))) == nil {
			t.Fatalf("the name is not denied by %v: %s", p, at)
		}
	case !o.aa: // a delegation
		if ds := slices.ContainsFunc(o.ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS }); !ds {
			x := p.at(mustName(o.ns[0].Header().Name))
			if x == nil || !has(x, dns.TypeNS) || has(x, dns.TypeDS) || has(x, dns.TypeSOA) {
				t.Fatalf("that the delegation is unsigned is not said by %v: %s", p, at)
			}
		}
	case len(o.answer) > 0 && wild != "":
		if p.covers(n) == nil {
			t.Fatalf("that there is nothing closer than the wildcard is not said by %v: %s", p, at)
		}
	case len(o.answer) == 0 && o.rcode == dns.RcodeSuccess:
		if x := p.at(n); x != nil {
			if has(x, typ) || has(x, dns.TypeCNAME) || n != z.apex && typ != dns.TypeDS && has(x, dns.TypeNS) {
				t.Fatalf("that there is no such type is not said by %v: %s", p, at)
			}
			return
		}
		x := p.covers(n)
		if x == nil {
			t.Fatalf("nothing is said of the name by %v: %s", p, at)
		}
		if mustName(x.NextDomain).below(n) {
			return // an empty non-terminal
		}
		wild := star(closest(x, n))
		if y := p.at(wild); y != nil && !has(y, typ) && !has(y, dns.TypeCNAME) {
			return
		}
		// The asterisk may be an empty non-terminal by itself.
		if y := p.covers(wild); y == nil || !mustName(y.NextDomain).below(wild) {
			t.Fatalf("that the wildcard has no such type is not said by %v: %s", p, at)
		}
	}
}

// verifySections checks all signatures, and that all that must be signed is.
func verifySections(t *testing.T, ring *sign.Ring, o outcome, at string) {
	t.Helper()
	for _, section := range [][]dns.RR{o.answer, o.ns} {
		sets := map[string][]dns.RR{}
		sigs := map[string]*dns.RRSIG{}
		for _, rr := range section {
			h := rr.Header()
			if sig, ok := rr.(*dns.RRSIG); ok {
				sigs[h.Name+typeName(sig.TypeCovered)] = sig
				continue
			}
			sets[h.Name+typeName(h.Rrtype)] = append(sets[h.Name+typeName(h.Rrtype)], rr)
		}
		synthetic := slices.ContainsFunc(section, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDNAME })
		for key, set := range sets {
			typ := set[0].Header().Rrtype
			if typ == dns.TypeCNAME && synthetic || typ == dns.TypeNS && !o.aa {
				continue
			}
			sig := sigs[key]
			if sig == nil {
				t.Fatalf("%v is not signed: %s", set, at)
			}
			delete(sigs, key)
			ok := slices.ContainsFunc(ring.Apex(), func(rr dns.RR) bool {
				key, is := rr.(*dns.DNSKEY)
				return is && key.KeyTag() == sig.KeyTag && sig.Verify(key, set) == nil
			})
			if !ok {
				t.Fatalf("%v does not verify for %v: %s", sig, set, at)
			}
		}
		if len(sigs) > 0 {
			t.Fatalf("%v sign nothing: %s", sigs, at)
		}
	}
}

// lined writes records without signatures.
func lined(rrs []dns.RR) string {
	var b strings.Builder
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			fmt.Fprintln(&b, rr)
		}
	}
	return b.String()
}

func zoneText(z *zone, m *moment) string {
	plain := *m
	plain.do = false
	return lined(z.dump(&plain))
}
