package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/miekg/dns"
)

// maxRule is the longest rule, in octets.
const maxRule = 1024

// cutOptions splits a rule of adblock syntax at the $ before its options.
func cutOptions(s string) (pattern, options string, ok bool) {
	if strings.HasPrefix(strings.TrimPrefix(s, "@@"), "/") {
		// A regular expression, which may hold a $.
		if at := strings.LastIndex(s, "/$"); at > 2 && !strings.HasSuffix(s, "/") {
			return s[:at+1], s[at+2:], true
		}
		return s, "", false
	}
	return strings.Cut(s, "$")
}

// isPattern reports whether what a rule is about is a regular expression.
func isPattern(s string) bool { return len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' }

// splitOptions splits at commas, but for those that are escaped or in quotes.
func splitOptions(s string) []string {
	var out []string
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quote != 0:
			if c == quote {
				quote = 0
			}
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote = c
			b.WriteByte(c)
		case c == ',':
			out = append(out, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(out, strings.TrimSpace(b.String()))
}

// parsed is what came of a rule in words.
type parsed struct {
	rule
	bad  bool       // it takes back the rule that it names
	form form       // where that says it all; name is set then too
	cond *condition // on the client
}

// parseAdblock reads a rule of adblock syntax. The error says why it cannot be
// followed.
func parseAdblock(text string) (parsed, error) {
	p := parsed{rule: rule{text: text, strength: blocks}}
	if len(text) > maxRule {
		return p, errors.New("it is longer than 1024 octets")
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return p, errName // and clients and logs are told of it
	}
	pat, options, has := cutOptions(text)
	exception := strings.HasPrefix(pat, "@@")
	pat = strings.TrimPrefix(pat, "@@")
	if exception {
		p.strength = allows
	}
	important := false
	if has {
		for _, o := range splitOptions(options) {
			if o == "important" {
				important = true
				continue
			}
			if err := p.option(o); err != nil {
				return p, err
			}
		}
	}
	if p.strength == rewrites && exception {
		return p, errors.New("exceptions from $dnsrewrite alone are not supported; leave $dnsrewrite out")
	}
	if important {
		p.strength += blocksImportant - blocks
	}
	return p, p.subject(pat)
}

// subject reads what the rule is about.
func (p *parsed) subject(s string) error {
	if isPattern(s) {
		var err error
		p.pattern, err = parsePattern(s[1 : len(s)-1])
		if err == nil && p.bare() && p.strength.action() != Allow && p.pattern.everything() {
			err = errEverything
		}
		return err
	}
	g, err := parseGlob(s)
	if err != nil {
		return err
	}
	bare := p.bare()
	if g.everything() {
		if bare && p.strength.action() != Allow {
			return errEverything
		}
		p.glob = &g
		return nil
	}
	if len(g.parts) > 1 || !g.end || !g.label && !g.start {
		p.glob = &g
		return nil
	}
	wire, ok := wireOf(g.parts[0])
	if !ok {
		return errName
	}
	p.name, p.self, p.below = wire, true, g.label
	if !bare {
		return nil
	}
	switch {
	case g.label && p.strength == blocks:
		p.form = formBlock
	case g.label && p.strength == blocksImportant:
		p.form = formBlockImportant
	case g.label && p.strength == allows:
		p.form = formAllow
	case g.label && p.strength == allowsImportant:
		p.form = formAllowImportant
	case g.start && p.strength == blocks:
		p.form = formExact
	case g.start && p.strength == allows:
		p.form = formExactAllow
	}
	return nil
}

// bare reports whether the rule has no option that narrows it.
func (p *parsed) bare() bool { return len(p.types)+len(p.spare) == 0 && p.cond == nil }

// option reads one option.
func (p *parsed) option(o string) error {
	name, value, _ := strings.Cut(o, "=")
	switch strings.ToLower(name) {
	case "badfilter":
		p.bad = true
	case "all": // everything a browser could ask for
	case "dnstype":
		return p.dnstype(value)
	case "denyallow":
		for _, s := range strings.Split(value, "|") {
			wire, ok := wireOf(s)
			if !ok {
				return fmt.Errorf("%q in denyallow is not a name", s)
			}
			p.spare = append(p.spare, wire)
		}
	case "client":
		c, err := parseCondition(value)
		p.cond = c
		return err
	case "dnsrewrite":
		return p.dnsrewrite(value)
	default:
		return fmt.Errorf("the option %q is not one for names", clip(name, 40))
	}
	return nil
}

func (p *parsed) dnstype(value string) error {
	seen := 0
	for _, s := range strings.Split(value, "|") {
		s, not := strings.CutPrefix(s, "~")
		typ, ok := dns.StringToType[strings.ToUpper(s)]
		if !ok {
			return fmt.Errorf("%q is not a type of records", clip(s, 40))
		}
		if not {
			p.except = true
			seen |= 1
		} else {
			seen |= 2
		}
		p.types = append(p.types, typ)
	}
	if seen == 3 {
		return errors.New("dnstype with and without ~ says nothing more than without")
	}
	return nil
}

func (p *parsed) dnsrewrite(value string) error {
	if p.strength == blocks {
		p.strength = rewrites
	}
	parts := strings.SplitN(value, ";", 3)
	if len(parts) == 1 {
		switch value {
		case "NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL":
			p.to.rcode = dns.StringToRcode[value]
			return nil
		case "":
			return errors.New("dnsrewrite needs a value")
		}
		if strings.ContainsAny(value, ":") || strings.Trim(value, "0123456789.") == "" {
			return p.toAddr(value, 0)
		}
		return p.toName(value)
	}
	rcode, ok := dns.StringToRcode[strings.ToUpper(parts[0])]
	if !ok {
		return fmt.Errorf("%q is not a response code", clip(parts[0], 40))
	}
	p.to.rcode = rcode
	if len(parts) < 3 || parts[1] == "" && parts[2] == "" {
		return nil
	}
	if rcode != dns.RcodeSuccess {
		return errors.New("an error has no records")
	}
	switch strings.ToUpper(parts[1]) {
	case "A":
		return p.toAddr(parts[2], dns.TypeA)
	case "AAAA":
		return p.toAddr(parts[2], dns.TypeAAAA)
	case "CNAME":
		return p.toName(parts[2])
	}
	return fmt.Errorf("dnsrewrite to %s records is not supported", clip(parts[1], 20))
}

func (p *parsed) toAddr(s string, typ uint16) error {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || typ == dns.TypeA && !a.Is4() || typ == dns.TypeAAAA && !a.Is6() {
		return fmt.Errorf("%q is not such an address", clip(s, 60))
	}
	p.to.addrs = []netip.Addr{a.Unmap()}
	return nil
}

func (p *parsed) toName(s string) error {
	wire, ok := wireOf(s)
	if !ok {
		return fmt.Errorf("%q is not a name", clip(s, 60))
	}
	p.to.target = wire
	return nil
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
