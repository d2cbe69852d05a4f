// Package signedtest makes signed zones for tests, and answers for them as a
// recursive resolver does that passes signatures on.
package signedtest

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A Zone is a zone whose answers are signed when they are made, so that its
// fields may be changed between questions.
type Zone struct {
	Apex      string // with the last dot, in lower case
	Records   map[string][]dns.RR
	Keys      []Key
	NSEC3     *dns.NSEC3PARAM // nil: NSEC
	OptOut    bool
	From, Til time.Time // of signatures
	TTL       uint32    // of signatures' records

	t        testing.TB
	children []*Zone
	insecure map[string]bool // delegations without DS
}

// A Key is a key of a zone with its private half.
type Key struct {
	*dns.DNSKEY
	Signer crypto.Signer
}

// NewKey makes a key of the algorithm. All keys of RSA are the same one, since it
// takes long to make.
func NewKey(t testing.TB, apex string, alg uint8) Key {
	t.Helper()
	k := Key{DNSKEY: &dns.DNSKEY{Flags: 257, Protocol: 3, Algorithm: alg}}
	switch alg {
	case dns.RSASHA256, dns.RSASHA512:
		one := *rsaKey().DNSKEY
		one.Algorithm = alg
		k = Key{&one, rsaKey().Signer}
	case dns.ECDSAP384SHA384:
		k.Signer = generate(k.DNSKEY, 384)
	default:
		k.Signer = generate(k.DNSKEY, 256)
	}
	k.Hdr = dns.RR_Header{Name: apex, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600}
	return k
}

var rsaKey = sync.OnceValue(func() Key {
	k := &dns.DNSKEY{Flags: 257, Protocol: 3, Algorithm: dns.RSASHA256}
	return Key{k, generate(k, 1024)}
})

func generate(k *dns.DNSKEY, bits int) crypto.Signer {
	priv, err := k.Generate(bits)
	if err != nil {
		panic(fmt.Sprint("making a key: ", err))
	}
	return priv.(crypto.Signer)
}

// NewZone makes a zone with one key, a SOA and the records, which are in
// presentation format; names without a last dot are within the zone.
func NewZone(t testing.TB, apex string, alg uint8, records ...string) *Zone {
	t.Helper()
	z := &Zone{Apex: apex, Records: map[string][]dns.RR{}, t: t, insecure: map[string]bool{}, TTL: 300}
	z.From, z.Til = time.Now().Add(-48*time.Hour), time.Now().Add(14*24*time.Hour)
	if alg != 0 {
		z.Keys = []Key{NewKey(t, apex, alg)}
	}
	z.Add("@ SOA ns hm 1 7200 3600 1209600 300", "@ NS ns", "ns A 192.0.2.53")
	z.Add(records...)
	return z
}

// Add adds records in presentation format.
func (z *Zone) Add(records ...string) {
	z.t.Helper()
	for _, s := range records {
		p := dns.NewZoneParser(strings.NewReader(s+"\n"), z.Apex, "")
		p.SetDefaultTTL(z.TTL)
		rr, ok := p.Next()
		if !ok {
			z.t.Fatalf("%s: %v", s, p.Err())
		}
		n := dns.CanonicalName(rr.Header().Name)
		z.Records[n] = append(z.Records[n], rr)
	}
}

// Delegate makes child a zone below z; signed ones with a DS record.
func (z *Zone) Delegate(child *Zone) {
	z.t.Helper()
	z.children = append(z.children, child)
	z.Add(child.Apex + " NS ns." + child.Apex)
	for _, k := range child.Keys {
		z.AddRR(k.ToDS(dns.SHA256))
	}
	z.insecure[child.Apex] = len(child.Keys) == 0
}

// AddRR adds a record.
func (z *Zone) AddRR(rr dns.RR) {
	rr.Header().Ttl = z.TTL
	n := dns.CanonicalName(rr.Header().Name)
	z.Records[n] = append(z.Records[n], rr)
}

// DropDS takes the DS records of a child out.
func (z *Zone) DropDS(child string) {
	z.Records[child] = slices.DeleteFunc(z.Records[child], func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS })
	z.insecure[child] = true
}

// DS returns the trust anchors of the zone.
func (z *Zone) DS() (out []*dns.DS) {
	for _, k := range z.Keys {
		out = append(out, k.ToDS(dns.SHA256))
	}
	return out
}

// set returns the records of that name and type, signed.
func (z *Zone) set(owner string, typ uint16) []dns.RR {
	return z.as(owner, owner, typ)
}

// as returns the records that are at from as if they were at owner.
func (z *Zone) as(owner, from string, typ uint16) (out []dns.RR) {
	var rrs []dns.RR
	for _, rr := range z.Records[from] {
		if rr.Header().Rrtype == typ {
			rr = dns.Copy(rr)
			rrs = append(rrs, rr)
		}
	}
	if typ == dns.TypeDNSKEY && from == z.Apex {
		for _, k := range z.Keys {
			rrs = append(rrs, dns.Copy(k.DNSKEY))
		}
	}
	if len(rrs) == 0 {
		return nil
	}
	sigs := z.Sign(rrs)
	out = append(rrs, sigs...)
	for _, rr := range out {
		rr.Header().Name = owner
	}
	return out
}

// Sign signs a set of records with each key that has a private half.
func (z *Zone) Sign(rrs []dns.RR) (out []dns.RR) {
	if rrs[0].Header().Rrtype == dns.TypeNS && dns.CanonicalName(rrs[0].Header().Name) != z.Apex {
		return nil
	}
	for _, k := range z.Keys {
		if k.Signer != nil {
			out = append(out, z.SignWith(k, rrs))
		}
	}
	return out
}

// SignWith signs a set of records.
func (z *Zone) SignWith(k Key, rrs []dns.RR) *dns.RRSIG {
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: rrs[0].Header().Ttl},
		Inception: uint32(z.From.Unix()), Expiration: uint32(z.Til.Unix()),
		Algorithm: k.Algorithm, KeyTag: k.KeyTag(), SignerName: z.Apex,
	}
	if err := sig.Sign(k.Signer, rrs); err != nil {
		panic(fmt.Sprint("signing: ", err))
	}
	return sig
}

// types returns the types at a name, for a bitmap.
func (z *Zone) types(n string) (out []uint16) {
	for _, rr := range z.Records[n] {
		if t := rr.Header().Rrtype; !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if n == z.Apex {
		out = append(out, dns.TypeDNSKEY)
	}
	slices.Sort(out)
	return out
}

// names returns the names of the zone in canonical order; with empty
// non-terminals, if wanted.
func (z *Zone) names(all bool) (out []string) {
	seen := map[string]bool{}
	for n := range z.Records {
		if z.occluded(n) {
			continue
		}
		seen[n] = true
		for all && n != z.Apex {
			n = parent(n)
			seen[n] = true
		}
	}
	for n := range seen {
		out = append(out, n)
	}
	slices.SortFunc(out, order)
	return out
}

// occluded reports whether n is below a delegation or a DNAME.
func (z *Zone) occluded(n string) bool {
	for n != z.Apex {
		n = parent(n)
		for _, rr := range z.Records[n] {
			if t := rr.Header().Rrtype; t == dns.TypeDNAME || t == dns.TypeNS && n != z.Apex {
				return true
			}
		}
	}
	return false
}

func parent(n string) string {
	at, end := dns.NextLabel(n, 0)
	if end {
		return "."
	}
	return n[at:]
}

// order is the canonical one, for names of plain letters.
func order(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}
