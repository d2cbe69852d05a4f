package main

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// nativeUint64 reads a number as this machine writes it.
func nativeUint64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

const (
	trapKeys       = 32
	trapSignatures = 32
	trapHashes     = 16
	trapIterations = 50 // the most that RFC 9276 lets a resolver take without a word
)

// A signer is a key that signs.
type signer struct {
	*dns.DNSKEY
	priv crypto.Signer
}

func newSigner(zone string, alg uint8) (signer, error) {
	k := signer{DNSKEY: &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: 257, Protocol: 3, Algorithm: alg,
	}}
	bits := 256
	if alg == dns.ECDSAP384SHA384 {
		bits = 384
	}
	p, err := k.Generate(bits)
	if err != nil {
		return k, err
	}
	k.priv = p.(crypto.Signer)
	return k, nil
}

// sign returns the signature of a set of records.
func (k signer) sign(rrs ...dns.RR) *dns.RRSIG {
	h := rrs[0].Header()
	now := time.Now()
	s := &dns.RRSIG{
		Hdr:       dns.RR_Header{Name: h.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: h.Ttl},
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(24 * time.Hour).Unix()),
		KeyTag: k.KeyTag(), SignerName: k.Hdr.Name, Algorithm: k.Algorithm,
	}
	if err := s.Sign(k.priv, rrs); err != nil {
		panic(err) // the key is ours
	}
	return s
}

// twin is a key of the same tag: bits of the flags that mean nothing make up for
// what the rest adds (RFC 4034 appendix B).
func (k signer) twin() (signer, error) {
	for {
		t, err := newSigner(k.Hdr.Name, k.Algorithm)
		if err != nil {
			return t, err
		}
		t.Flags = 0
		without := t.KeyTag()
		for _, flags := range []uint16{k.KeyTag() - without, k.KeyTag() - without - 1} { // the tag is a sum, with a carry or none
			if t.Flags = flags; flags&(dns.ZONE|dns.REVOKE) == dns.ZONE && t.KeyTag() == k.KeyTag() {
				return t, nil
			}
		}
	}
}

// A hostile is a resolver whose root leads to zones that are costly to check.
type hostile struct {
	root, fair, keys, signatures, hashes signer
	twins                                []signer // of keys
	twin                                 signer   // of signatures
	denial                               []dns.RR

	mu    sync.Mutex
	heard []*dns.Msg // while it listens
	hears bool
}

func newHostile() (h *hostile, err error) {
	h = &hostile{}
	for _, z := range []struct {
		k    *signer
		name string
		alg  uint8
	}{
		{&h.root, ".", dns.ECDSAP256SHA256},
		{&h.fair, "fair.", dns.ECDSAP256SHA256},
		{&h.keys, "keys.", dns.ECDSAP256SHA256},
		{&h.signatures, "signatures.", dns.ECDSAP384SHA384},
		{&h.hashes, "hashes.", dns.ECDSAP256SHA256},
	} {
		if *z.k, err = newSigner(z.name, z.alg); err != nil {
			return nil, err
		}
	}
	if h.twin, err = h.signatures.twin(); err != nil {
		return nil, err
	}
	first, err := newSigner("keys.", dns.ECDSAP384SHA384)
	if err != nil {
		return nil, err
	}
	h.twins = []signer{first}
	for len(h.twins) < trapKeys {
		t, err := first.twin()
		if err != nil {
			return nil, err
		}
		h.twins = append(h.twins, t)
	}
	salt := strings.Repeat("ab", 64)
	for i := range trapHashes {
		// They cover everything between them, and nothing that is asked for is there.
		from, to := byte(i*256/trapHashes), byte((i+1)*256/trapHashes)
		rr := &dns.NSEC3{
			Hdr:  dns.RR_Header{Name: hashOf(from) + ".hashes.", Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 300},
			Hash: dns.SHA1, Iterations: trapIterations, SaltLength: 64, Salt: salt, HashLength: 20, NextDomain: hashOf(to),
			TypeBitMap: []uint16{dns.TypeA},
		}
		h.denial = append(h.denial, rr, h.hashes.sign(rr))
	}
	return h, nil
}

// hashOf is a hash that begins with b, as the owner of an NSEC3 record.
func hashOf(b byte) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	return string([]byte{digits[b>>3], digits[b&7<<2]}) + strings.Repeat("0", 30)
}

// anchor is the DS record of its root.
func (h *hostile) anchor() string { return h.root.ToDS(dns.SHA256).String() }

// serve answers over TCP, where long answers fit, until the contest ends.
func (h *hostile) serve(l *lab) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	srv := &dns.Server{Listener: ln, MaxTCPQueries: -1, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		h.hear(r)
		_ = w.WriteMsg(h.answer(r))
	})}
	go func() { _ = srv.ActivateAndServe() }()
	l.atEnd(func() { _ = srv.Shutdown() })
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// listen begins to note what is asked, or ends and returns it.
func (h *hostile) listen(begin bool) []*dns.Msg {
	h.mu.Lock()
	defer h.mu.Unlock()
	heard := h.heard
	h.heard, h.hears = nil, begin
	return heard
}

func (h *hostile) hear(r *dns.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hears {
		h.heard = append(h.heard, r.Copy())
	}
}

// answer tells what the zones say, with signatures.
func (h *hostile) answer(r *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable, m.Compress = true, true
	m.SetEdns0(4096, true)
	asked, typ := r.Question[0].Name, r.Question[0].Qtype
	n := dns.CanonicalName(asked)
	labels := dns.SplitDomainName(n)
	if len(labels) == 0 {
		if typ == dns.TypeDNSKEY {
			m.Answer = []dns.RR{h.root.DNSKEY, h.root.sign(h.root.DNSKEY)}
		}
		return m
	}
	zone := map[string]signer{"fair": h.fair, "keys": h.keys, "signatures": h.signatures, "hashes": h.hashes}[labels[len(labels)-1]]
	if zone.DNSKEY == nil {
		m.Rcode = dns.RcodeServerFailure
		return m
	}
	trapped := zone.Hdr.Name == "keys." && len(labels) > 1 // a zone of its own
	switch {
	case typ == dns.TypeDS && len(labels) == 1:
		ds := zone.ToDS(dns.SHA256)
		m.Answer = []dns.RR{ds, h.root.sign(ds)}
	case typ == dns.TypeDS && trapped && len(labels) == 2:
		k := *h.twins[0].DNSKEY
		k.Hdr.Name = n
		ds := k.ToDS(dns.SHA256)
		m.Answer = []dns.RR{ds, zone.sign(ds)}
	case typ == dns.TypeDNSKEY && trapped && len(labels) == 2:
		for _, t := range h.twins {
			k := *t.DNSKEY
			k.Hdr.Name = n
			m.Answer = append(m.Answer, &k)
		}
		m.Answer = append(m.Answer, wrong(n, typ, n, h.twins[0])...)
	case typ == dns.TypeDNSKEY && len(labels) == 1 && zone.Hdr.Name == "signatures.":
		m.Answer = []dns.RR{zone.DNSKEY, h.twin.DNSKEY, zone.sign(zone.DNSKEY, h.twin.DNSKEY)}
	case typ == dns.TypeDNSKEY && len(labels) == 1:
		m.Answer = []dns.RR{zone.DNSKEY, zone.sign(zone.DNSKEY)}
	case zone.Hdr.Name == "hashes.":
		m.Rcode = dns.RcodeNameError
		soa := &dns.SOA{Hdr: dns.RR_Header{Name: "hashes.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 300}, Ns: "ns.hashes.", Mbox: "hm.hashes.", Serial: 1, Minttl: 300}
		m.Ns = append([]dns.RR{soa, zone.sign(soa)}, h.denial...)
	case typ == dns.TypeA:
		a := &dns.A{Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 86400}, A: net.IPv4(192, 0, 2, 1)}
		m.Answer = []dns.RR{a}
		switch {
		case trapped:
			m.Answer = append(m.Answer, wrong(n, typ, strings.Join(labels[1:], ".")+".", h.twins[0])...)
		case zone.Hdr.Name == "signatures.":
			m.Answer = append(m.Answer, wrong(n, typ, "signatures.", zone)...)
		default:
			m.Answer = append(m.Answer, zone.sign(a))
		}
	}
	return m
}

// wrong are signatures over nothing, each unlike the others, which can be seen by
// checking alone.
func wrong(owner string, typ uint16, by string, k signer) []dns.RR {
	now := time.Now()
	var out []dns.RR
	for i := range trapSignatures {
		a, b := sha256.Sum256([]byte(fmt.Sprint(owner, i, "r"))), sha256.Sum256([]byte(fmt.Sprint(owner, i, "s")))
		raw := append(append([]byte{1}, a[:]...), make([]byte, 15)...)
		raw = append(append(append(raw, 1), b[:]...), make([]byte, 15)...)
		out = append(out, &dns.RRSIG{
			Hdr:         dns.RR_Header{Name: owner, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 300},
			TypeCovered: typ, Algorithm: k.Algorithm, Labels: uint8(dns.CountLabel(owner)), OrigTtl: 300,
			Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(24 * time.Hour).Unix()),
			KeyTag: k.KeyTag(), SignerName: by, Signature: base64.StdEncoding.EncodeToString(raw),
		})
	}
	return out
}
