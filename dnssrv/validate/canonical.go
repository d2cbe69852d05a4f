package validate

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// canonical returns the content of the records in the canonical form and order
// of RFC 4034 §6, each once. It is nil where a record cannot be written.
func (s *set) canonical() [][]byte {
	if s.canon != nil {
		return s.canon
	}
	out := make([][]byte, 0, len(s.rrs))
	for _, rr := range s.rrs {
		rr = dns.Copy(rr)
		lowerContent(rr)
		rr.Header().Name = "."
		b := make([]byte, dns.Len(rr)+1)
		n, err := dns.PackRR(rr, b, 0, nil, false)
		if err != nil || n < 11 {
			return nil
		}
		out = append(out, b[11:n]) // after the root's name, type, class, TTL, length
	}
	slices.SortFunc(out, bytes.Compare)
	s.canon = slices.CompactFunc(out, bytes.Equal)
	return s.canon
}

// lowerContent puts the names within rr in lower case, for the types that
// RFC 4034 §6.2 lists as RFC 6840 §5.1 corrects it.
func lowerContent(rr dns.RR) {
	lower := func(names ...*string) {
		for _, n := range names {
			*n = dns.CanonicalName(*n)
		}
	}
	switch x := rr.(type) {
	case *dns.NS:
		lower(&x.Ns)
	case *dns.MD:
		lower(&x.Md)
	case *dns.MF:
		lower(&x.Mf)
	case *dns.CNAME:
		lower(&x.Target)
	case *dns.SOA:
		lower(&x.Ns, &x.Mbox)
	case *dns.MB:
		lower(&x.Mb)
	case *dns.MG:
		lower(&x.Mg)
	case *dns.MR:
		lower(&x.Mr)
	case *dns.PTR:
		lower(&x.Ptr)
	case *dns.MINFO:
		lower(&x.Rmail, &x.Email)
	case *dns.MX:
		lower(&x.Mx)
	case *dns.RP:
		lower(&x.Mbox, &x.Txt)
	case *dns.AFSDB:
		lower(&x.Hostname)
	case *dns.RT:
		lower(&x.Host)
	case *dns.SIG:
		lower(&x.SignerName)
	case *dns.PX:
		lower(&x.Map822, &x.Mapx400)
	case *dns.NAPTR:
		lower(&x.Replacement)
	case *dns.KX:
		lower(&x.Exchanger)
	case *dns.SRV:
		lower(&x.Target)
	case *dns.DNAME:
		lower(&x.Target)
	}
}

// signed returns what sig signs of the set (RFC 4035 §5.3.2), whose owner is
// then owner: that of the set, or of the wildcard it was expanded from.
func (s *set) signed(sig *dns.RRSIG, signer, owner name) []byte {
	content := s.canonical()
	if len(content) == 0 {
		return nil
	}
	size := 18 + len(signer)
	for _, c := range content {
		size += len(owner) + 10 + len(c)
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint16(b, sig.TypeCovered)
	b = append(b, sig.Algorithm, sig.Labels)
	b = binary.BigEndian.AppendUint32(b, sig.OrigTtl)
	b = binary.BigEndian.AppendUint32(b, sig.Expiration)
	b = binary.BigEndian.AppendUint32(b, sig.Inception)
	b = binary.BigEndian.AppendUint16(b, sig.KeyTag)
	b = append(b, signer...)
	for _, c := range content {
		b = append(b, owner...)
		b = binary.BigEndian.AppendUint16(b, s.typ)
		b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
		b = binary.BigEndian.AppendUint32(b, sig.OrigTtl)
		b = binary.BigEndian.AppendUint16(b, uint16(len(c)))
		b = append(b, c...)
	}
	return b
}
