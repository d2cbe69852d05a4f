package dnssrv

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// amiss says in one sentence what is wrong with the content of a record that can
// be read, or nothing. It is about mistakes that those who look the record up
// would be the first to see.
func amiss(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.CAA:
		return amissCAA(rr)
	case *dns.HTTPS:
		return amissService(&rr.SVCB)
	case *dns.SVCB:
		return amissService(rr)
	case *dns.TLSA:
		return amissCertificate(rr.Usage, rr.Selector, rr.MatchingType, rr.Certificate)
	case *dns.SMIMEA:
		return amissCertificate(rr.Usage, rr.Selector, rr.MatchingType, rr.Certificate)
	case *dns.SSHFP:
		if rr.Algorithm == 0 || rr.Algorithm > 6 || rr.Algorithm == 5 {
			return "the first number is the kind of key: 1 RSA, 2 DSA, 3 ECDSA, 4 Ed25519, 6 Ed448"
		}
		return amissHex(rr.FingerPrint, "fingerprint", rr.Type, map[uint8]int{1: 20, 2: 32}, "1 SHA-1, 2 SHA-256")
	case *dns.DS:
		if rr.Algorithm == 0 {
			return "the second number is the algorithm of the key, such as 13"
		}
		return amissHex(rr.Digest, "digest", rr.DigestType, map[uint8]int{1: 20, 2: 32, 4: 48}, "1 SHA-1, 2 SHA-256, 4 SHA-384")
	case *dns.SRV:
		if rr.Port == 0 && rr.Target != "." {
			return "the third number is the port, which cannot be 0"
		}
	case *dns.MX:
		if rr.Mx == "." && rr.Preference != 0 {
			return `a domain without mail has the value "0 ." (RFC 7505)`
		}
	case *dns.NAPTR:
		if rr.Regexp != "" && rr.Replacement != "." {
			return "a NAPTR record has an expression or a replacement, not both; without a replacement it ends in a dot"
		}
	}
	return ""
}

func amissCAA(rr *dns.CAA) string {
	if rr.Flag != 0 && rr.Flag != 128 {
		return "the flag is 0, or 128 for an entry that must be understood"
	}
	switch rr.Tag {
	case "issue", "issuewild", "issuemail", "issuevmc":
		ca, _, _ := strings.Cut(rr.Value, ";")
		ca = strings.TrimSpace(ca)
		if ca != "" && !isHost(ca) {
			return fmt.Sprintf(`%q is not the domain of an authority, such as letsencrypt.org; ";" stands for none`, ca)
		}
	case "iodef":
		if !strings.HasPrefix(rr.Value, "mailto:") && !strings.HasPrefix(rr.Value, "https://") && !strings.HasPrefix(rr.Value, "http://") {
			return "reports go to a mailto: or https:// address"
		}
	case "contactemail", "contactphone":
	default:
		return fmt.Sprintf("%q is not a tag; there are issue, issuewild, issuemail, issuevmc, iodef, contactemail and contactphone", rr.Tag)
	}
	return ""
}

// isHost reports whether s is a host name of several labels.
func isHost(s string) bool {
	n, err := parseName(s)
	if err != nil || n.labels() < 2 {
		return false
	}
	_, ok := n.host()
	return ok
}

// amissService checks RFC 9460 §2.4, §7 and §8.
func amissService(rr *dns.SVCB) string {
	if rr.Priority == 0 {
		switch {
		case len(rr.Value) > 0:
			return "with priority 0 the record is an alias, and has no parameters"
		case rr.Target == ".":
			return "with priority 0 the record is an alias, and needs the name of a host instead of the dot"
		}
		return ""
	}
	have := map[dns.SVCBKey]bool{}
	for _, kv := range rr.Value {
		if have[kv.Key()] {
			return fmt.Sprintf("%s is there twice", kv.Key())
		}
		have[kv.Key()] = true
	}
	for _, kv := range rr.Value {
		switch kv := kv.(type) {
		case *dns.SVCBMandatory:
			for i, key := range kv.Code {
				switch {
				case key == dns.SVCB_MANDATORY, slices.Contains(kv.Code[:i], key):
					return fmt.Sprintf("%s must not be in mandatory, or be there once only", key)
				case !have[key]:
					return fmt.Sprintf("%s is mandatory and missing", key)
				}
			}
		case *dns.SVCBAlpn:
			if len(kv.Alpn) == 0 || slices.Contains(kv.Alpn, "") {
				return "alpn needs the names of protocols, such as alpn=h3,h2"
			}
		case *dns.SVCBPort:
			if kv.Port == 0 {
				return "port cannot be 0"
			}
		case *dns.SVCBNoDefaultAlpn:
			if !have[dns.SVCB_ALPN] {
				return "no-default-alpn needs alpn beside it"
			}
		}
	}
	return ""
}

func amissCertificate(usage, selector, matching uint8, data string) string {
	switch {
	case usage > 3 && usage != 255:
		return "the first number says how the certificate is used: 0 to 3, most often 3"
	case selector > 1 && selector != 255:
		return "the second number is 0 for the whole certificate and 1 for its key"
	case matching == 0:
		if _, err := hex.DecodeString(data); err != nil {
			return "the certificate is written in hexadecimal digits, two for each byte"
		}
		return ""
	}
	return amissHex(data, "hash", matching, map[uint8]int{1: 32, 2: 64}, "0 none, 1 SHA-256, 2 SHA-512")
}

// amissHex checks a hash whose kind says its length.
func amissHex(s, what string, kind uint8, size map[uint8]int, kinds string) string {
	n, ok := size[kind]
	if !ok {
		return fmt.Sprintf("%d is not a kind of %s; there are %s", kind, what, kinds)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return fmt.Sprintf("the %s is written in hexadecimal digits, two for each byte", what)
	}
	if len(b) != n {
		return fmt.Sprintf("the %s has %d hexadecimal digits, and must have %d", what, len(s), 2*n)
	}
	return ""
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
	case dns.TypeDNAME:
		return "a DNAME record has the domain that all names below lead to, such as garden.home.arpa"
	case dns.TypeHTTPS, dns.TypeSVCB:
		return "it has a priority, a host (a dot for the name itself) and parameters, such as 1 . alpn=h3,h2 port=443"
	case dns.TypeTLSA:
		return "a TLSA record has usage, selector, matching type and a hash, such as 3 1 1 and 64 hexadecimal digits"
	case dns.TypeSMIMEA:
		return "an SMIMEA record has usage, selector, matching type and a hash, such as 3 0 1 and 64 hexadecimal digits"
	case dns.TypeSSHFP:
		return "an SSHFP record is what ssh-keygen -r prints after SSHFP, such as 4 2 and 64 hexadecimal digits"
	case dns.TypeDS:
		return "a DS record has key tag, algorithm, digest type and digest, such as 12345 13 2 and 64 hexadecimal digits"
	case dns.TypeNAPTR:
		return `a NAPTR record has order, preference, flags, services, expression and replacement, such as 10 10 "s" "SIP+D2U" "" _sip._udp`
	case dns.TypeURI:
		return `a URI record has priority, weight and an address in quotes, such as 10 1 "https://example.com/"`
	case dns.TypeLOC:
		return "a LOC record has latitude, longitude and altitude, such as 52 22 23.0 N 4 53 32.0 E -2m"
	case dns.TypeOPENPGPKEY:
		return "an OPENPGPKEY record has the key in base64"
	default:
		return `it is written as \# and its length in bytes, followed by hexadecimal digits, such as \# 2 0a01`
	}
}
