package imapd

import (
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

// annotated returns the number of a mailbox whose annotations are meant; "" is
// the account.
func (s *session) annotated(name string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	m, err := s.acct.Mailbox(name)
	return m.ID, err
}

// entry takes the name of an annotation (RFC 5464 §4).
func (p *parser) entry() string {
	e := strings.ToLower(p.astring())
	private := strings.HasPrefix(e, "/private/") && len(e) > len("/private/")
	shared := strings.HasPrefix(e, "/shared/") && len(e) > len("/shared/")
	if p.err == nil && (!private && !shared || strings.ContainsAny(e, "*%") || strings.Contains(e, "//") || strings.HasSuffix(e, "/")) {
		p.fail("An annotation is /private/… or /shared/…")
	}
	return e
}

// getMetadata is GETMETADATA.
func (s *session) getMetadata(bool) error {
	p := &s.p
	p.sp()
	size, depth := int64(1<<62), 0
	options := func() {
		p.list(func() {
			switch w := p.verb(); w {
			case "MAXSIZE":
				p.sp()
				size = p.num64()
			case "DEPTH":
				p.sp()
				switch d := p.verb(); d {
				case "0":
					depth = 0
				case "1":
					depth = 1
				case "INFINITY":
					depth = 1 << 30
				default:
					p.fail("DEPTH is 0, 1 or infinity")
				}
			default:
				p.fail("GETMETADATA does not know " + w)
			}
		})
		p.sp()
	}
	if p.is('(') {
		options()
	}
	name := p.mailbox()
	p.sp()
	var asked []string
	if p.is('(') {
		p.list(func() { asked = append(asked, p.entry()) })
	} else {
		asked = []string{p.entry()}
	}
	if err := p.end(); err != nil {
		return err
	}
	box, err := s.annotated(name)
	if err != nil {
		return err
	}
	all := s.acct.Meta(box)
	longest, n := 0, 0
	for _, e := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(asked, func(a string) bool { return below(e, a, depth) }) {
			continue
		}
		if int64(len(all[e])) > size {
			longest = max(longest, len(all[e]))
			continue
		}
		if n++; n == 1 {
			s.str("* METADATA ")
			s.mailboxOrNone(name)
			s.str(" (")
		} else {
			s.str(" ")
		}
		s.quote(e)
		s.str(" ")
		s.quote(all[e])
	}
	if n > 0 {
		s.str(")\r\n")
	}
	if longest > 0 {
		s.code = "METADATA LONGENTRIES " + decimal(uint32(longest))
	}
	return nil
}

// below reports whether entry is a, or so many levels below it.
func below(entry, a string, depth int) bool {
	rest, ok := strings.CutPrefix(entry, a)
	return ok && (rest == "" || rest[0] == '/' && strings.Count(rest, "/") <= depth)
}

func (s *session) mailboxOrNone(name string) {
	if name == "" {
		s.str(`""`)
		return
	}
	s.mailbox(name)
}

// setMetadata is SETMETADATA.
func (s *session) setMetadata(bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	p.sp()
	set := map[string]*string{}
	p.list(func() {
		e := p.entry()
		p.sp()
		p.take('~')
		v, null := p.nstring()
		if set[e] = &v; null {
			set[e] = nil
		}
	})
	if err := p.end(); err != nil {
		return err
	}
	box, err := s.annotated(name)
	if err != nil {
		return err
	}
	for _, v := range set {
		if v != nil && len(*v) > store.MaxMeta {
			return no("METADATA MAXSIZE "+imap.ResponseCode(decimal(store.MaxMeta)), "The annotation is too long")
		}
	}
	return s.acct.SetMeta(s.ctx, box, set)
}
