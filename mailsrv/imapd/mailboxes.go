package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

// enable switches extensions on (RFC 5161). Those that are unknown are passed
// over.
func (s *session) enable(bool) error {
	p := &s.p
	var asked []string
	for len(asked) == 0 || p.more() {
		p.sp()
		asked = append(asked, p.verb())
	}
	if err := p.end(); err != nil {
		return err
	}
	s.str("* ENABLED")
	for _, a := range asked {
		switch a {
		case "IMAP4REV2":
			a, s.rev2, s.utf8 = "IMAP4rev2", true, true
		case "UTF8=ACCEPT":
			s.utf8 = true
		case "CONDSTORE":
			s.condstore = true
		case "QRESYNC":
			s.condstore, s.qresync = true, true
		default:
			continue
		}
		s.str(" " + a)
	}
	p.utf8 = s.utf8
	s.str("\r\n")
	return nil
}

func (s *session) namespace(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	s.str("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
	return nil
}

// open is SELECT and EXAMINE.
func (s *session) open(readOnly bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	var known *known
	if p.take(' ') {
		p.list(func() {
			switch w := p.verb(); w {
			case "CONDSTORE":
				s.condstore = true
			case "QRESYNC":
				known = p.known()
			default:
				p.fail("SELECT does not know " + w)
			}
		})
	}
	if known != nil && !s.qresync {
		p.fail("QRESYNC must be enabled first")
	}
	if err := p.end(); err != nil {
		return err
	}
	if s.view != nil && (s.rev2 || s.qresync) {
		s.status("OK", "CLOSED", "The one before is closed")
	}
	s.unselect() // also if what follows fails (RFC 9051 §6.3.2)
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return err
	}
	v, m, err := newView(s.acct, m.ID, readOnly)
	if err != nil {
		return err
	}
	s.view = v
	flags := v.flags()
	s.str("* FLAGS ")
	writeWords(s, flags)
	s.str("\r\n* ")
	s.num(int64(len(v.uids)))
	s.str(" EXISTS\r\n")
	if s.rev2 {
		s.str("* LIST () \"/\" ")
		s.mailbox(m.Name)
		s.str("\r\n")
	} else {
		s.str("* 0 RECENT\r\n")
		s.firstUnseen(m)
	}
	s.str("* OK [PERMANENTFLAGS ")
	if readOnly {
		flags = nil
	} else if _, room := s.acct.Keywords(); room {
		flags = append(flags, string(imap.FlagWildcard))
	}
	writeWords(s, flags)
	s.str("] Permanent flags\r\n* OK [UIDVALIDITY ")
	s.num(int64(m.UIDValidity))
	s.str("] UIDs valid\r\n* OK [UIDNEXT ")
	s.num(int64(m.UIDNext))
	s.str("] Predicted next UID\r\n* OK [HIGHESTMODSEQ ")
	s.num(int64(m.ModSeq))
	s.str("] Highest\r\n* OK [MAILBOXID (")
	s.str(mailboxID(m))
	s.str(")] Of this mailbox\r\n")
	if known != nil && known.validity == m.UIDValidity {
		s.resync(known)
	}
	s.code = "READ-WRITE"
	if readOnly {
		s.code = "READ-ONLY"
	}
	return nil
}

// firstUnseen tells the number of the first message that has not been seen.
func (s *session) firstUnseen(m store.Mailbox) {
	if m.Unseen == 0 {
		return
	}
	s.view.each(s.view.uids, func(seq uint32, row store.Message) bool {
		if row.Flags&store.Seen != 0 {
			return true
		}
		s.str("* OK [UNSEEN ")
		s.num(int64(seq))
		s.str("] First unseen\r\n")
		return false
	})
}

// leave is UNSELECT.
func (s *session) leave(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	s.unselect()
	return nil
}

func (s *session) close(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	v := s.view
	s.unselect()
	if v.readOnly {
		return nil
	}
	_, err := s.acct.Expunge(s.ctx, v.box, nil)
	return err
}

func (s *session) create(bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	var uses []imap.Flag
	if p.take(' ') {
		p.list(func() {
			if p.verb() != "USE" {
				p.fail("Only USE can be said of a new mailbox")
			}
			p.sp()
			uses = p.flags()
		})
	}
	if err := p.end(); err != nil {
		return err
	}
	use := ""
	switch len(uses) {
	case 0:
	case 1:
		possible := []string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}
		i := slices.IndexFunc(possible, func(u string) bool { return equalFold(uses[0], u) })
		if i < 0 {
			return no("USEATTR", "That special use is not possible here")
		}
		use = possible[i]
	default:
		return no("USEATTR", "A mailbox has one special use at most")
	}
	if err := s.acct.Create(s.ctx, name, use); err != nil {
		return err
	}
	if m, err := s.acct.Mailbox(strings.TrimSuffix(name, "/")); err == nil {
		s.code = "MAILBOXID (" + mailboxID(m) + ")"
	}
	return nil
}

// named is a command about one mailbox.
func (s *session) named(do func(name string) error) error {
	s.p.sp()
	name := s.p.mailbox()
	if err := s.p.end(); err != nil {
		return err
	}
	return do(name)
}

func (s *session) remove(bool) error {
	return s.named(func(name string) error { return s.acct.Delete(s.ctx, name) })
}

func (s *session) rename(bool) error {
	s.p.sp()
	from := s.p.mailbox()
	return s.named(func(to string) error { return s.acct.Rename(s.ctx, from, to) })
}

func (s *session) subscribe(on bool) error {
	return s.named(func(name string) error {
		if on {
			return s.acct.Subscribe(s.ctx, name)
		}
		return s.acct.Unsubscribe(s.ctx, name)
	})
}

// statusItems are what STATUS can tell, in the order in which it does.
var statusItems = []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "APPENDLIMIT", "DELETED-STORAGE", "RECENT", "HIGHESTMODSEQ", "MAILBOXID"}

// items takes the list of what STATUS is to tell.
func (p *parser) items() []string {
	var out []string
	p.list(func() {
		w := p.verb()
		if p.err == nil && !slices.Contains(statusItems, w) {
			p.fail("STATUS does not know " + w)
		}
		out = append(out, w)
	})
	return out
}

func (s *session) statusOf(bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	p.sp()
	items := p.items()
	if err := p.end(); err != nil {
		return err
	}
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return err
	}
	s.writeStatus(m, items)
	return nil
}

func (s *session) writeStatus(m store.Mailbox, items []string) {
	s.str("* STATUS ")
	s.mailbox(m.Name)
	s.str(" (")
	first := true
	for _, it := range statusItems {
		if !slices.Contains(items, it) {
			continue
		}
		if !first {
			s.str(" ")
		}
		first = false
		s.str(it)
		s.str(" ")
		switch it {
		case "MESSAGES":
			s.num(int64(m.Messages))
		case "UIDNEXT":
			s.num(int64(m.UIDNext))
		case "UIDVALIDITY":
			s.num(int64(m.UIDValidity))
		case "UNSEEN":
			s.num(int64(m.Unseen))
		case "DELETED":
			s.num(int64(m.Deleted))
		case "SIZE":
			s.num(m.Bytes)
		case "APPENDLIMIT":
			s.num(s.limit())
		case "HIGHESTMODSEQ":
			s.condstore = true
			s.num(int64(m.ModSeq))
		case "MAILBOXID":
			s.str("(" + mailboxID(m) + ")")
		default: // RECENT and DELETED-STORAGE: there is none
			s.num(0)
		}
	}
	s.str(")\r\n")
}

// parent is the name one level up, empty at the top.
func parent(n string) string {
	i := strings.LastIndexByte(n, '/')
	if i < 0 {
		return ""
	}
	return n[:i]
}
