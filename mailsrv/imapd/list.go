package imapd

import (
	"slices"
	"strings"

	inorder "pic/internal/order"
	"pic/mailsrv/store"
)

// A name is what LIST knows of one: of a mailbox, of a subscription without a
// mailbox, or of a level above others.
type name struct {
	store.Mailbox
	exists   bool
	children bool
	under    bool // there are subscriptions below
}

// names returns all that LIST may speak of, sorted.
func (s *session) names() []name {
	all := map[string]*name{}
	at := func(n string) *name {
		if all[n] == nil {
			all[n] = &name{Mailbox: store.Mailbox{Name: n}}
		}
		return all[n]
	}
	for _, m := range s.acct.Mailboxes() {
		*at(m.Name) = name{Mailbox: m, exists: true, children: at(m.Name).children}
		for up := parent(m.Name); up != ""; up = parent(up) {
			at(up).children = true
		}
	}
	for _, sub := range s.acct.Subscriptions() {
		at(sub).Subscribed = true
		for up := parent(sub); up != ""; up = parent(up) {
			at(up).under = true
		}
	}
	out := make([]name, 0, len(all))
	for _, n := range all {
		out = append(out, *n)
	}
	inorder.By(out, func(a, b name) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// A listing is what LIST is asked (RFC 5258, RFC 5819, RFC 6154).
type listing struct {
	ref      string
	patterns []string
	extended bool // RETURN or a selection was said

	subscribed, special, recursive, remote bool // which

	told   bool     // whether they are subscribed, of each
	status []string // and what else
}

// pattern takes a name in which * and % stand for others.
func (p *parser) pattern() string {
	var s string
	if c := p.peek(); c == '"' || c == '{' {
		s = p.string()
	} else {
		s = p.word("pattern", func(c byte) bool { return atomChar(c) || c == '%' || c == '*' || c == ']' || p.utf8 && c >= 0x80 })
	}
	if p.err != nil || p.utf8 {
		return s
	}
	out, err := utf7.decode(s)
	if err != nil {
		p.fail(err.Error())
	}
	return out
}

func (s *session) list(bool) error {
	p := &s.p
	l := listing{}
	p.sp()
	if p.is('(') {
		l.extended = true
		p.list(func() {
			switch w := p.verb(); w {
			case "SUBSCRIBED":
				l.subscribed = true
			case "SPECIAL-USE":
				l.special = true
			case "RECURSIVEMATCH":
				l.recursive = true
			case "REMOTE":
				l.remote = true // all mailboxes are here
			default:
				p.fail("LIST does not select by " + w)
			}
		})
		p.sp()
	}
	l.ref = p.pattern()
	p.sp()
	if p.is('(') {
		l.extended = true
		p.list(func() { l.patterns = append(l.patterns, p.pattern()) })
	} else {
		l.patterns = []string{p.pattern()}
	}
	if p.take(' ') {
		l.extended = true
		if p.verb() != "RETURN" {
			p.fail("Only RETURN can follow")
		}
		p.sp()
		p.list(func() { p.listReturn(&l) })
	}
	if l.recursive && !l.subscribed {
		p.fail("RECURSIVEMATCH goes with SUBSCRIBED")
	}
	if err := p.end(); err != nil {
		return err
	}
	s.answer(&l)
	return nil
}

func (p *parser) listReturn(l *listing) {
	switch w := p.verb(); w {
	case "SUBSCRIBED":
		l.told = true
	case "CHILDREN", "SPECIAL-USE": // which are told anyway
	case "STATUS":
		p.sp()
		l.status = p.items()
	default:
		p.fail("LIST does not return " + w)
	}
}

func (s *session) answer(l *listing) {
	if len(l.patterns) == 1 && l.patterns[0] == "" && !l.extended { // asks for the delimiter alone
		s.str("* LIST (\\Noselect) \"/\" \"\"\r\n")
		return
	}
	for _, n := range s.names() {
		if !slices.ContainsFunc(l.patterns, func(p string) bool { return match(n.Name, l.ref+p) }) {
			continue
		}
		attrs, ok := n.attrs(l)
		if !ok {
			continue
		}
		s.str("* LIST ")
		writeWords(s, attrs)
		s.str(` "/" `)
		s.mailbox(n.Name)
		if l.recursive && n.under {
			s.str(` (CHILDINFO ("SUBSCRIBED"))`)
		}
		s.str("\r\n")
		if len(l.status) > 0 && n.exists {
			s.writeStatus(n.Mailbox, l.status)
		}
	}
}

// attrs are what LIST says of a name, if it is asked for.
func (n name) attrs(l *listing) ([]string, bool) {
	below := l.recursive && n.under
	switch {
	case l.subscribed && !n.Subscribed && !below:
		return nil, false
	case l.special && n.Use == "":
		return nil, false
	case !l.subscribed && !n.exists && !n.children:
		return nil, false // only a subscription
	}
	var out []string
	if !n.exists {
		out = append(out, `\NonExistent`, `\Noselect`)
	}
	if n.Subscribed && (l.subscribed || l.told) {
		out = append(out, `\Subscribed`)
	}
	if n.children {
		out = append(out, `\HasChildren`)
	} else if n.exists {
		out = append(out, `\HasNoChildren`)
	}
	if n.Use != "" {
		out = append(out, n.Use)
	}
	return out, true
}

// lsub is the LIST (SUBSCRIBED) of earlier days (RFC 3501 §6.3.9).
func (s *session) lsub(bool) error {
	p := &s.p
	p.sp()
	ref := p.pattern()
	p.sp()
	pattern := ref + p.pattern()
	if err := p.end(); err != nil {
		return err
	}
	l := &listing{subscribed: true, recursive: true}
	for _, n := range s.names() {
		if !match(n.Name, pattern) {
			continue
		}
		attrs, ok := n.attrs(l)
		switch {
		case !ok:
			continue
		case !n.Subscribed && !strings.Contains(pattern, "%"):
			continue // those below match themselves
		case !n.Subscribed:
			attrs = []string{`\Noselect`}
		}
		s.str("* LSUB ")
		writeWords(s, attrs)
		s.str(` "/" `)
		s.mailbox(n.Name)
		s.str("\r\n")
	}
	return nil
}

// match reports whether a name matches a pattern, in which * stands for anything
// and % for anything within a level. It takes time in proportion to the product
// of their lengths.
func match(name, pattern string) bool {
	if len(name) >= 5 && strings.EqualFold(name[:5], store.Inbox) && len(pattern) >= 5 && strings.EqualFold(pattern[:5], store.Inbox) {
		pattern = store.Inbox + pattern[5:]
	}
	// at[i] says that what was seen of the pattern matches name[:i].
	at := make([]bool, len(name)+1)
	at[0] = true
	for _, c := range []byte(pattern) {
		switch c {
		case '*', '%':
			for i := range len(name) {
				at[i+1] = at[i+1] || at[i] && (c == '*' || name[i] != '/')
			}
		default:
			for i := len(name); i > 0; i-- {
				at[i] = at[i-1] && name[i-1] == c
			}
			at[0] = false
		}
	}
	return at[len(name)]
}
