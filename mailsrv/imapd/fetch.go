package imapd

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/message"
	"pic/mailsrv/store"
)

// An item is something that FETCH is asked for.
type item struct {
	name string // as in the answer, but for the section
	sec  *section
	peek bool
	raw  bool // decoded (RFC 3516)
}

// An order is all that one FETCH is asked for.
type order struct {
	items   []item
	content bool // some need the message and not just its row
	sees    bool // some set \Seen
}

func (o *order) has(name string) bool {
	return slices.ContainsFunc(o.items, func(it item) bool { return it.name == name })
}

// add puts an item first or last, once.
func (o *order) add(it item, first bool) {
	if it.sec == nil && o.has(it.name) {
		return
	}
	if first {
		o.items = slices.Insert(o.items, 0, it)
	} else {
		o.items = append(o.items, it)
	}
	switch it.name {
	case "UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "MODSEQ", "SAVEDATE", "EMAILID":
	default:
		o.content = true
	}
	o.sees = o.sees || it.sec != nil && !it.peek && it.name != "BINARY.SIZE"
}

func (p *parser) order() order {
	var o order
	if p.is('(') {
		p.list(func() { p.item(&o) })
		if len(o.items) == 0 {
			p.fail("Syntax error: what is asked for?")
		}
	} else {
		p.item(&o)
	}
	return o
}

// item takes one, or a macro of several.
func (p *parser) item(o *order) {
	w := strings.ToUpper(p.word("item", func(c byte) bool { return atomChar(c) && c != '[' && c != '<' }))
	add := func(names ...string) {
		for _, n := range names {
			o.add(item{name: n}, false)
		}
	}
	if len(o.items) == maxItems {
		p.fail("Too many items")
	}
	switch w {
	case "ALL":
		add("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE")
	case "FAST":
		add("FLAGS", "INTERNALDATE", "RFC822.SIZE")
	case "FULL":
		add("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY")
	case "UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "MODSEQ", "SAVEDATE", "EMAILID", "THREADID":
		add(w)
	case "PREVIEW":
		add(w)
		if p.take(' ') { // how soon it is needed; it is made at once
			p.list(func() {
				if p.verb() != "LAZY" {
					p.fail("PREVIEW can be LAZY")
				}
			})
		}
	case "BINARY", "BINARY.PEEK", "BINARY.SIZE":
		x := p.section(true)
		if w == "BINARY.SIZE" && x.cut {
			p.fail("Syntax error: a size has no range")
		}
		o.add(item{name: strings.TrimSuffix(w, ".PEEK"), sec: &x, peek: w != "BINARY", raw: true}, false)
	case "RFC822":
		o.add(item{name: w, sec: &section{}}, false)
	case "RFC822.HEADER":
		o.add(item{name: w, sec: &section{what: "HEADER"}, peek: true}, false)
	case "RFC822.TEXT":
		o.add(item{name: w, sec: &section{what: "TEXT"}}, false)
	case "BODY", "BODY.PEEK":
		if !p.is('[') && w == "BODY" {
			add(w)
			return
		}
		x := p.section(false)
		o.add(item{name: "BODY", sec: &x, peek: w == "BODY.PEEK"}, false)
	default:
		p.fail("FETCH does not know " + w)
	}
}

func (s *session) fetch(uid bool) error {
	p := &s.p
	p.sp()
	set := p.set()
	p.sp()
	o := p.order()
	since, vanished := p.modifiers()
	if vanished && (!uid || !s.qresync || since == nil) {
		p.fail("VANISHED goes with UID FETCH and CHANGEDSINCE, after QRESYNC was enabled")
	}
	if err := p.end(); err != nil {
		return err
	}
	v := s.view
	uids, err := v.resolve(set, uid)
	if err != nil {
		return err
	}
	if since != nil {
		o.add(item{name: "MODSEQ"}, true)
		if vanished {
			s.vanished(*since, &set)
		}
		uids = v.changed(uids, *since)
	}
	s.condstore = s.condstore || o.has("MODSEQ")
	if uid {
		o.add(item{name: "UID"}, true)
	}
	seen, err := s.see(uids, &o)
	if err != nil {
		return err
	}
	var damaged error
	complete := v.each(uids, func(seq uint32, row store.Message) bool {
		if err = cmp.Or(s.ctx.Err(), s.conn.err); err == nil {
			err = s.message(seq, row, &o)
		}
		if errors.Is(err, store.ErrDamaged) { // the others can still be had
			s.o.Log.Error("message cannot be read", "user", s.acct.User, "err", err)
			damaged, err = err, nil
		}
		if err == nil && damaged == nil && seen != 0 && row.ModSeq == seen {
			v.tell(row.UID, seen)
		}
		return err == nil
	})
	if err != nil || damaged != nil {
		return cmp.Or(err, damaged)
	}
	return missing(complete, uid)
}

// missing is the answer where sequence numbers meant messages that are gone.
func missing(complete, uid bool) error {
	if complete || uid {
		return nil
	}
	return no("EXPUNGEISSUED", "Some of the messages are gone")
}

// see sets \Seen on messages whose text is asked for without PEEK (RFC 9051
// §6.4.5), and has their flags told.
func (s *session) see(uids []uint32, o *order) (modseq uint64, err error) {
	if !o.sees || s.view.readOnly {
		return 0, nil
	}
	var unseen []uint32
	s.view.each(uids, func(_ uint32, row store.Message) bool {
		if row.Flags&store.Seen == 0 {
			unseen = append(unseen, row.UID)
		}
		return true
	})
	if len(unseen) == 0 {
		return 0, nil
	}
	o.add(item{name: "FLAGS"}, true)
	if s.condstore {
		o.add(item{name: "MODSEQ"}, true)
	}
	return s.acct.SetFlags(s.ctx, s.view.box, unseen, store.AddFlags, []string{string(imap.FlagSeen)})
}

// A letter is a message that is being answered for.
type letter struct {
	row  store.Message
	c    *store.Content   // nil if it is not needed
	m    *message.Message // likewise
	text []io.Reader      // of the items that are sections
	size []int64
}

// message writes what is asked for of one message. What needs the content is
// opened before anything is written, so that a message that cannot be read is
// an answer and not a torn response.
func (s *session) message(seq uint32, row store.Message, o *order) error {
	l := letter{row: row}
	if o.content {
		var err error
		if l.c, err = s.acct.Open(row); err != nil {
			return err
		}
		defer l.c.Close()
		if l.m, err = structure(l.c); err != nil {
			return err
		}
		for _, it := range o.items {
			if it.sec == nil {
				continue
			}
			r, n, err := it.open(l.c, l.m)
			if err != nil {
				return err
			}
			l.text, l.size = append(l.text, r), append(l.size, n)
		}
	}
	s.str("* ")
	s.num(int64(seq))
	s.str(" FETCH (")
	for i, it := range o.items {
		if i > 0 {
			s.str(" ")
		}
		if err := s.item(&l, it); err != nil {
			return err
		}
	}
	s.str(")\r\n")
	return s.conn.err
}

func (s *session) item(l *letter, it item) error {
	s.str(it.name)
	if it.sec != nil {
		if it.name == "BODY" || it.raw {
			it.sec.write(s)
		}
		s.str(" ")
		r, n := l.text[0], l.size[0]
		l.text, l.size = l.text[1:], l.size[1:]
		if it.name == "BINARY.SIZE" {
			s.num(n)
			return nil
		}
		if it.raw {
			s.str("~")
		}
		s.literal(n)
		return s.copyOut(r, n)
	}
	s.str(" ")
	switch it.name {
	case "UID":
		s.num(int64(l.row.UID))
	case "FLAGS":
		s.flags(l.row.Flags)
	case "INTERNALDATE":
		s.moment(date(l.row))
	case "RFC822.SIZE":
		s.num(int64(l.row.Size))
	case "ENVELOPE":
		s.envelope(l.m.Root.Envelope)
	case "MODSEQ":
		s.str("(")
		s.num(int64(l.row.ModSeq))
		s.str(")")
	case "SAVEDATE":
		s.moment(time.Unix(int64(l.row.Saved), 0).UTC())
	case "EMAILID":
		s.str("(" + emailID(l.row) + ")")
	case "THREADID":
		s.str("(" + threadID(l.row, l.m) + ")")
	case "PREVIEW":
		s.quote(preview(l.c, l.m))
	case "BODY", "BODYSTRUCTURE":
		s.structure(l.m.Root, it.name != "BODY")
	}
	return nil
}

// flagsOf tells the flags of a message of the mailbox.
func (s *session) flagsOf(seq uint32, row store.Message, uid bool) {
	s.str("* ")
	s.num(int64(seq))
	s.str(" FETCH (")
	if uid {
		s.str("UID ")
		s.num(int64(row.UID))
		s.str(" ")
	}
	s.str("FLAGS ")
	s.flags(row.Flags)
	if s.condstore {
		s.str(" MODSEQ (")
		s.num(int64(row.ModSeq))
		s.str(")")
	}
	s.str(")\r\n")
}

// flags writes a list of flags. Messages of one command have few different ones.
func (s *session) flags(f store.Flags) {
	text, ok := s.flagText[f]
	if !ok {
		text = "(" + strings.Join(s.acct.FlagNames(f), " ") + ")"
		if s.flagText == nil || len(s.flagText) >= 64 {
			s.flagText = map[store.Flags]string{}
		}
		s.flagText[f] = text
	}
	s.str(text)
}

// structure is what was kept with the message, or else what a scan finds.
func structure(c *store.Content) (*message.Message, error) {
	if m, err := message.Parse(c.Aux); err == nil {
		return m, nil
	}
	return message.Scan(io.NewSectionReader(c, 0, c.Size()))
}
