package message

import "strings"

// A lexer takes the pieces of a structured field (RFC 5322 §3.2).
type lexer struct {
	s    string
	i    int
	note string // the last comment passed over
}

func (p *lexer) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *lexer) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// space passes over white space and comments.
func (p *lexer) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		case '(':
			p.note = p.comment()
		default:
			return
		}
	}
}

// comment takes a comment, which may have others within it.
func (p *lexer) comment() string {
	start, depth := p.i, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.i++
				return strings.TrimSpace(p.s[start+1 : p.i-1])
			}
		}
	}
	p.i = len(p.s)
	return strings.TrimSpace(p.s[start+1:])
}

// quoted takes a quoted string and returns what it means.
func (p *lexer) quoted() string {
	var sb strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '"':
			p.i++
			return sb.String()
		case '\\':
			if p.i++; p.i < len(p.s) {
				sb.WriteByte(p.s[p.i])
			}
		default:
			sb.WriteByte(c)
		}
	}
	p.i = len(p.s)
	return sb.String()
}

// until takes everything before the first of the characters in stop.
func (p *lexer) until(stop string) string {
	start := p.i
	if n := strings.IndexAny(p.s[p.i:], stop); n >= 0 {
		p.i += n
	} else {
		p.i = len(p.s)
	}
	return p.s[start:p.i]
}

// token takes a token (RFC 2045 §5.1).
func (p *lexer) token() string {
	p.space()
	return p.until(" \t\r\n()<>@,;:\\\"/[]?=")
}

// Addresses reads a list of addresses (RFC 5322 §3.4), as much of it as makes
// sense.
func Addresses(s string) []Address {
	p := lexer{s: s}
	var out []Address
	inGroup := false
	for {
		p.note = ""
		p.space()
		switch {
		case p.i >= len(p.s):
			if inGroup {
				out = append(out, Address{})
			}
			return out
		case p.take(','):
			continue
		case p.take(';'):
			if inGroup {
				out, inGroup = append(out, Address{}), false
			}
			continue
		}
		a, group := p.address()
		if group && inGroup {
			out = append(out, Address{}) // they cannot be within each other
		}
		inGroup = inGroup || group
		if a.Mailbox != "" || group {
			out = append(out, a)
		}
	}
}

// noHost stands where an address has no domain, since an Address without one is
// the beginning of a group.
const noHost = "MISSING_DOMAIN"

// address takes one address, or the name of a group and its colon. It takes at
// least one byte.
func (p *lexer) address() (a Address, group bool) {
	var words []string
	for {
		p.space()
		switch c := p.peek(); c {
		case 0, ',', ';':
			if p.i < len(p.s) && c == 0 {
				p.i++ // a NUL
				continue
			}
			if len(words) > 0 {
				a = Address{p.note, strings.Join(words, " "), noHost}
			}
			return a, false
		case ':':
			p.i++
			name := strings.Join(words, " ")
			if name == "" {
				name = "?"
			}
			return Address{Mailbox: name}, true
		case '<':
			p.i++
			a.Mailbox, a.Host = p.angle()
			a.Name = strings.Join(words, " ")
			p.until(",;")
			return a, false
		case '@':
			p.i++
			a = Address{Mailbox: strings.Join(words, ""), Host: p.domain()}
			if a.Host == "" {
				a.Host = noHost
			}
			p.space()
			a.Name = p.note
			if p.peek() == '<' { // somebody@example.org <somebody@example.org>
				words = []string{strings.TrimSuffix(a.Mailbox+"@"+a.Host, "@"+noHost)}
				continue
			}
			p.until(",;")
			return a, false
		case '"':
			words = append(words, p.quoted())
		case ')', '>', ']', '[', '\\':
			p.i++
		default:
			words = append(words, p.until(" \t\r\n()<>@,;:\\\"[]\x00"))
		}
	}
}

// angle takes what is between < and >, with its route if there is one.
func (p *lexer) angle() (local, host string) {
	p.space()
	if p.peek() == '@' { // RFC 5322 §4.4
		p.until(":>")
		p.take(':')
	}
	var sb strings.Builder
	for {
		p.space()
		switch c := p.peek(); c {
		case '>':
			p.i++
			if sb.Len() > 0 {
				host = noHost
			}
			return sb.String(), host
		case '@':
			p.i++
			host = p.domain()
			p.until(">")
			p.take('>')
			if host == "" {
				host = noHost
			}
			return sb.String(), host
		case '"':
			sb.WriteString(p.quoted())
		default:
			if p.i >= len(p.s) {
				if sb.Len() > 0 {
					host = noHost
				}
				return sb.String(), host
			}
			if w := p.until(" \t\r\n()<>@\""); w != "" {
				sb.WriteString(w)
			} else {
				p.i++
			}
		}
	}
}

// domain takes a domain or a domain literal.
func (p *lexer) domain() string {
	p.space()
	if p.peek() == '[' {
		d := p.until("]")
		if p.take(']') {
			d += "]"
		}
		return d
	}
	var sb strings.Builder
	for {
		sb.WriteString(p.until(" \t\r\n()<>@,;:\\\"[]"))
		p.space()
		if p.peek() != '.' && !strings.HasSuffix(sb.String(), ".") || p.i >= len(p.s) {
			return sb.String()
		}
		before := p.i
		if p.take('.') {
			sb.WriteByte('.')
		}
		p.space()
		if strings.IndexByte("()<>@,;:\\\"[]", p.peek()) >= 0 || p.i == before {
			return sb.String()
		}
	}
}
