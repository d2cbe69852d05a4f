package origin

import (
	"strings"
)

// Field is the Authentication-Results field of a message (RFC 8601), folded and
// with CRLF at its end. host is the name by which our fields are known.
func (r *Result) Field(host string) string {
	return "Authentication-Results: " + host + ";" + r.results() + "\r\n"
}

// results is what comes after the name of the host.
func (r *Result) results() string {
	var out []string
	spf := method("spf", r.SPF.Verdict, r.SPF.Why)
	if r.SPF.Helo {
		spf += " smtp.helo=" + word(r.Sender.Helo)
	} else {
		spf += " smtp.mailfrom=" + word(r.Sender.From)
	}
	out = append(out, spf)
	for _, s := range r.Signatures {
		v := s.Verdict
		if s.Testing && v != Pass {
			v = Neutral // RFC 6376 §3.6.1: as if it were not signed
		}
		m := method("dkim", v, s.Why)
		if s.Domain != "" {
			m += " header.d=" + word(s.Domain) + " header.s=" + word(s.Selector)
		}
		if s.Sum != "" {
			m += " header.b=" + word(s.Sum)
		}
		out = append(out, m)
	}
	if len(r.Signatures) == 0 {
		out = append(out, "dkim=none")
	}
	d := method("dmarc", r.DMARC.Verdict, r.DMARC.Why)
	if r.DMARC.Record.Domain != "" {
		d += " policy.published-domain-policy=" + string(r.DMARC.Record.Policy)
	}
	if r.DMARC.Domain != "" {
		d += " header.from=" + word(r.DMARC.Domain)
	}
	out = append(out, d)
	if r.ARC.Verdict != None {
		out = append(out, method("arc", r.ARC.Verdict, r.ARC.Why)+" smtp.remote-ip="+word(r.Sender.Addr.Unmap().String()))
	}
	return "\r\n\t" + strings.Join(out, ";\r\n\t")
}

func method(name string, v Verdict, why string) string {
	m := name + "=" + string(v)
	if why != "" {
		m += " (" + comment(why) + ")"
	}
	return m
}

// comment is s as it can stand between parentheses.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`()\`, r) {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 120)]
}

// word is s as a value, quoted where it must be (RFC 8601 §2.2).
func word(s string) string {
	plain := s != ""
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`()<>,;:\"[]?=`, c) >= 0 {
			plain = false
		}
	}
	if s = s[:min(len(s), 320)]; plain {
		return s
	}
	var sb strings.Builder
	sb.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c < ' ' || c > '~':
			c = '?'
		case c == '"' || c == '\\':
			sb.WriteByte('\\')
		}
		sb.WriteByte(c)
	}
	return sb.String() + `"`
}

// Forged reports whether a raw field claims to be from host: those of strangers
// go before ours is added (RFC 8601 §5).
func Forged(raw []byte, host string) bool {
	name, value, _ := strings.Cut(string(raw[:min(len(raw), 4096)]), ":")
	if !strings.EqualFold(strings.TrimRight(name, " \t"), "authentication-results") {
		return false
	}
	id, _, _ := strings.Cut(withoutComments(value), ";")
	words := strings.Fields(id) // a version may follow
	return len(words) == 0 || strings.EqualFold(strings.TrimSuffix(strings.Trim(words[0], `"`), "."), host)
}

func withoutComments(s string) string {
	var sb strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			sb.WriteByte(c)
		}
	}
	return sb.String()
}
