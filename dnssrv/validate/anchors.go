package validate

import (
	"fmt"

	"github.com/miekg/dns"
)

// Root returns the trust anchors of the root zone, as IANA publishes them: the
// keys of 2017 (tag 20326) and of 2024 (tag 38696).
func Root() []*dns.DS {
	out := make([]*dns.DS, 0, 2)
	for _, k := range []struct {
		tag    uint16
		digest string
	}{
		{20326, "e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d"},
		{38696, "683d2d0acb8c9b712a1948b27f741219298d0a450d612c483af444a4c0fb2b16"},
	} {
		out = append(out, &dns.DS{
			Hdr:    dns.RR_Header{Name: ".", Rrtype: dns.TypeDS, Class: dns.ClassINET},
			KeyTag: k.tag, Algorithm: dns.RSASHA256, DigestType: dns.SHA256, Digest: k.digest,
		})
	}
	return out
}

// ParseAnchor reads a trust anchor: a DS record, or the DNSKEY record it is made
// of, in presentation format. An anchor that could never be used is an error.
func ParseAnchor(s string) (*dns.DS, error) {
	rr, err := dns.NewRR(s)
	if err != nil {
		return nil, fmt.Errorf("not a DS record: %w", err)
	}
	ds, ok := rr.(*dns.DS)
	if k, isKey := rr.(*dns.DNSKEY); isKey {
		if !usable(k) {
			return nil, fmt.Errorf("the key is not one of a zone (flags %d)", k.Flags)
		}
		ds, ok = k.ToDS(dns.SHA256), true
	}
	switch {
	case !ok || ds == nil:
		return nil, fmt.Errorf("not a DS record")
	case toName(ds.Hdr.Name) == "":
		return nil, fmt.Errorf("%q is not a domain name", ds.Hdr.Name)
	case !supported(ds.Algorithm):
		return nil, fmt.Errorf("algorithm %d is not supported", ds.Algorithm)
	case !digests(ds.DigestType):
		return nil, fmt.Errorf("digest type %d is not supported; use 2 (SHA-256)", ds.DigestType)
	case len(ds.Digest) != map[uint8]int{dns.SHA256: 64, dns.SHA384: 96}[ds.DigestType]:
		return nil, fmt.Errorf("the digest has the wrong length")
	}
	return ds, nil
}
