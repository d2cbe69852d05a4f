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

// kinds are the types that a record of the document may have.
var kinds = map[string]uint16{
	"A": dns.TypeA, "AAAA": dns.TypeAAAA, "CNAME": dns.TypeCNAME, "TXT": dns.TypeTXT, "MX": dns.TypeMX,
	"SRV": dns.TypeSRV, "CAA": dns.TypeCAA, "NS": dns.TypeNS, "PTR": dns.TypePTR,
	"HTTPS": dns.TypeHTTPS, "SVCB": dns.TypeSVCB, "SSHFP": dns.TypeSSHFP, "TLSA": dns.TypeTLSA,
}

// parseRecord reads a record of the document. The error says what is wrong with
// which of its fields: name, type, ttl or value.
func parseRecord(r config.Record, zone name, ttl uint32) (dns.RR, *config.FieldError) {
	owner, err := ownerOf(r.Name, zone)
	if err != nil {
		return nil, &config.FieldError{Path: "name", Problem: err.Error()}
	}
	typ, ok := kinds[strings.ToUpper(r.Type)]
	if !ok {
		return nil, &config.FieldError{Path: "type", Problem: fmt.Sprintf(
			"%q is not a type that a record can have; there are A, AAAA, CNAME, TXT, MX, SRV, CAA, NS, PTR, HTTPS, SVCB, SSHFP and TLSA", r.Type)}
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
	if _, err := dns.PackRR(rr, make([]byte, maxSize), 0, nil, false); err != nil {
		return nil, &config.FieldError{Path: "value", Problem: "too long, or not valid for its type"}
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
	case dns.TypeCNAME, dns.TypeNS, dns.TypePTR, dns.TypeMX, dns.TypeSRV:
		s = absolute(s, zone)
	}
	zp := dns.NewZoneParser(strings.NewReader(". 0 IN "+typeName(typ)+" "+s+"\n"), ".", "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil || !ok || rr.Header().Rrtype != typ {
		return nil, fmt.Errorf("%q is not valid; %s", s, example(typ))
	}
	if _, more := zp.Next(); more {
		return nil, errors.New("must be a single record")
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

// absolute completes the name that ends a value: one label is relative to the
// zone, more are taken as written, with or without the last dot.
func absolute(s string, zone name) string {
	f := strings.Fields(s)
	last := &f[len(f)-1]
	switch {
	case *last == "@":
		*last = zone.String()
	case strings.HasSuffix(*last, "."):
	case strings.Contains(*last, "."):
		*last += "."
	default:
		*last += "." + zone.String()
	}
	return strings.Join(f, " ")
}

// example shows what the value of a type looks like.
func example(typ uint16) string {
	switch typ {
	case dns.TypeA:
		return "an A record has an IPv4 address, such as 192.168.1.7"
	case dns.TypeAAAA:
		return "an AAAA record has an IPv6 address, such as fd00::7"
	case dns.TypeMX:
		return "an MX record has a preference and a host, such as 10 mail"
	case dns.TypeSRV:
		return "an SRV record has priority, weight, port and host, such as 0 1 5060 phone"
	case dns.TypeCAA:
		return `a CAA record has a flag, a tag and a value, such as 0 issue "letsencrypt.org"`
	case dns.TypeTXT:
		return "a quoted text must end with a quote"
	case dns.TypeCNAME, dns.TypeNS, dns.TypePTR:
		return "it has a host name, such as nas"
	default:
		return "it must be in presentation format"
	}
}
