package dnssrv

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"pic/core/config"
)

// maxTTL bounds what records of the document may ask for: a week.
const maxTTL = 7 * 24 * 3600

// maxRecord bounds one record, in bytes, so that it fits into a message with all
// that goes with it.
const maxRecord = 16 << 10

// kinds are the types that a record of the document may have by name.
var kinds = map[string]uint16{
	"A": dns.TypeA, "AAAA": dns.TypeAAAA, "CNAME": dns.TypeCNAME, "DNAME": dns.TypeDNAME, "TXT": dns.TypeTXT,
	"MX": dns.TypeMX, "SRV": dns.TypeSRV, "CAA": dns.TypeCAA, "NS": dns.TypeNS, "PTR": dns.TypePTR, "DS": dns.TypeDS,
	"HTTPS": dns.TypeHTTPS, "SVCB": dns.TypeSVCB, "SSHFP": dns.TypeSSHFP, "TLSA": dns.TypeTLSA,
	"NAPTR": dns.TypeNAPTR, "URI": dns.TypeURI, "LOC": dns.TypeLOC, "OPENPGPKEY": dns.TypeOPENPGPKEY, "SMIMEA": dns.TypeSMIMEA,
}

// kindOf returns the type that a record of the document has. Others than those
// of kinds are written as TYPE and a number (RFC 3597 §5), but for those that the
// server makes itself and those that are no data.
func kindOf(s string) (uint16, bool) {
	s = strings.ToUpper(s)
	if typ, ok := kinds[s]; ok {
		return typ, true
	}
	typ, ok := parseType(s)
	if !ok || !strings.HasPrefix(s, "TYPE") || kinds[typeName(typ)] != 0 {
		return 0, false
	}
	switch typ {
	case dns.TypeNone, dns.TypeSOA, dns.TypeOPT, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeNSEC3, dns.TypeNSEC3PARAM,
		dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeSIG, dns.TypeNXT, dns.TypeKEY:
		return 0, false
	}
	return typ, typ < 128 || typ > dns.TypeANY && typ != dns.TypeReserved
}

// parseRecord reads a record of the document. The error says what is wrong with
// which of its fields: name, type, ttl or value.
func parseRecord(r config.Record, zone name, ttl uint32) (dns.RR, *config.FieldError) {
	owner, err := ownerOf(r.Name, zone)
	if err != nil {
		return nil, &config.FieldError{Path: "name", Problem: err.Error()}
	}
	typ, ok := kindOf(r.Type)
	if !ok {
		return nil, &config.FieldError{Path: "type", Problem: fmt.Sprintf(
			"%q is not a type that a record can have; there are A, AAAA, CNAME, DNAME, TXT, MX, SRV, CAA, NS, PTR, DS, HTTPS, SVCB, SSHFP, TLSA, "+
				"NAPTR, URI, LOC, OPENPGPKEY, SMIMEA, and any other as TYPE and its number", r.Type)}
	}
	if r.TTL > maxTTL {
		return nil, &config.FieldError{Path: "ttl", Problem: fmt.Sprintf("at most %d seconds, a week", maxTTL)}
	}
	if r.TTL != 0 {
		ttl = r.TTL
	}
	rr, err := parseValue(r.Value, typ, zone)
	if err != nil {
		return nil, &config.FieldError{Path: "value", Problem: err.Error()}
	}
	*rr.Header() = dns.RR_Header{Name: owner.String(), Rrtype: typ, Class: dns.ClassINET, Ttl: ttl}
	// What cannot be sent must not get in.
	if _, err := dns.PackRR(rr, make([]byte, maxRecord), 0, nil, false); err != nil {
		return nil, &config.FieldError{Path: "value", Problem: "too long, or not valid; " + example(typ)}
	}
	return rr, nil
}

// ownerOf makes the name of a record absolute. Names are relative to the zone
// unless they end in a dot or in the zone's own name.
func ownerOf(s string, zone name) (name, error) {
	bad := fmt.Errorf("%q is not a name within %s; use @ for the zone itself", s, strings.TrimSuffix(zone.String(), "."))
	if s == "@" {
		return zone, nil
	}
	if s == "" || strings.ContainsFunc(s, odd) {
		return "", bad
	}
	n, err := parseName(s)
	if err != nil {
		return "", bad
	}
	if n.below(zone) {
		return n, nil
	}
	if strings.HasSuffix(s, ".") {
		return "", bad
	}
	if n, err = parseName(s + "." + zone.String()); err != nil {
		return "", bad
	}
	return n, nil
}

// odd reports characters that have a meaning in zone files, and all but ASCII.
func odd(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"();$\@`, c) }

func parseValue(s string, typ uint16, zone name) (dns.RR, error) {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, errors.New("must be a single line")
	}
	if strings.TrimSpace(s) == "" {
		return nil, errors.New("is empty")
	}
	switch typ {
	case dns.TypeTXT:
		if !strings.HasPrefix(strings.TrimSpace(s), `"`) {
			return text(s), nil
		}
	case dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS, dns.TypePTR, dns.TypeMX, dns.TypeSRV, dns.TypeNAPTR:
		s = absolute(s, -1, zone)
	case dns.TypeSVCB, dns.TypeHTTPS:
		s = absolute(s, 1, zone)
	}
	zp := dns.NewZoneParser(strings.NewReader(". 0 IN "+typeName(typ)+" "+s+"\n"), ".", "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil || !ok || rr.Header().Rrtype != typ {
		return nil, fmt.Errorf("%q is not valid; %s", s, example(typ))
	}
	if _, more := zp.Next(); more {
		return nil, errors.New("must be a single record")
	}
	if problem := amiss(rr); problem != "" {
		return nil, errors.New(problem)
	}
	return rr, nil
}

// text is a TXT record of an unquoted value: all of it, spaces included.
func text(s string) dns.RR {
	rr := &dns.TXT{}
	s = strings.TrimSpace(s)
	for len(s) > 255 {
		rr.Txt = append(rr.Txt, escape(s[:255]))
		s = s[255:]
	}
	rr.Txt = append(rr.Txt, escape(s))
	return rr
}

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// absolute completes the name that is the ith field of a value, the last where i
// is -1: one label is relative to the zone, more are taken as written, with or
// without the last dot.
func absolute(s string, i int, zone name) string {
	if i < 0 {
		s = strings.TrimSpace(s)
		i = len(strings.Fields(s)) - 1
	}
	from, to := field(s, i)
	if from == to {
		return s
	}
	target := s[from:to]
	switch {
	case target == "@":
		target = zone.String()
	case strings.HasSuffix(target, "."):
	case strings.Contains(target, "."):
		target += "."
	default:
		target += "." + zone.String()
	}
	return s[:from] + target + s[to:]
}

// field returns where the ith of the fields of s is, which blanks part.
func field(s string, i int) (from, to int) {
	const blank = " \t"
	for ; ; i-- {
		rest := strings.TrimLeft(s[to:], blank)
		from = len(s) - len(rest)
		to = len(s)
		if n := strings.IndexAny(rest, blank); n >= 0 {
			to = from + n
		}
		if i <= 0 || from == to {
			return from, to
		}
	}
}
