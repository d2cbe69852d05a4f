package imapd

import (
	"io"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// A post is a message that a client brings.
type post struct {
	flags []imap.Flag
	when  time.Time
	utf8  bool // it came as UTF8 (…)
	size  int64
}

// append is APPEND, of several messages if the client likes (RFC 3502). What can
// be refused is refused before a message is asked for.
func (s *session) append(bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	p.sp()
	var all []store.New
	var box uint32
	total := int64(0)
	for {
		x := p.post()
		if p.err != nil {
			return p.err
		}
		m, err := s.acct.Mailbox(name)
		if err != nil {
			return tryCreate(err)
		}
		box = m.ID
		if total += x.size; total > s.limit() {
			return no(imap.ResponseCodeTooBig, "The messages of one APPEND are too big")
		}
		if len(all) == maxAppend {
			return no(imap.ResponseCodeLimit, "Too many messages in one APPEND")
		}
		msg, done, err := s.receive(x)
		if err != nil {
			return err
		}
		defer done()
		if all = append(all, msg); !p.take(' ') {
			break
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	if err := s.quotaFor(total, len(all)); err != nil {
		return err
	}
	var out []store.Appended
	if len(all) == 1 {
		one, err := s.acct.Append(s.ctx, box, all[0])
		if err != nil {
			return err
		}
		out = append(out, one)
	} else {
		var err error
		if out, err = s.acct.AppendAll(s.ctx, box, all); err != nil {
			return err
		}
	}
	s.appended(out)
	return nil
}

const maxAppend = 100 // messages in one APPEND

// appended says which UIDs messages got (RFC 4315).
func (s *session) appended(all []store.Appended) {
	var uids []uint32
	for _, a := range all {
		uids = append(uids, a.UID)
	}
	s.code = string(setOf(uids).append([]byte("APPENDUID " + decimal(all[0].UIDValidity) + " ")))
}

// replace is APPEND with the removal of another message, as one change (RFC 8508).
func (s *session) replace(uid bool) error {
	p := &s.p
	p.sp()
	old := set{spans: []span{{from: p.num32()}}}
	old.spans[0].to = old.spans[0].from
	p.sp()
	name := p.mailbox()
	p.sp()
	x := p.post()
	if p.err != nil {
		return p.err
	}
	v := s.view
	if v.readOnly {
		return errReadOnly
	}
	uids, err := v.resolve(old, uid)
	if err != nil {
		return err
	}
	if len(uids) != 1 {
		return no(imap.ResponseCodeNonExistent, "No such message")
	}
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return tryCreate(err)
	}
	if x.size > s.limit() {
		return no(imap.ResponseCodeTooBig, "The message is too big")
	}
	msg, done, err := s.receive(x)
	if err != nil {
		return err
	}
	defer done()
	if err := p.end(); err != nil {
		return err
	}
	if err := s.quotaFor(x.size, 1); err != nil {
		return err
	}
	out, err := s.acct.Replace(s.ctx, v.box, uids[0], m.ID, msg)
	if err != nil {
		return err
	}
	s.appended([]store.Appended{out})
	s.status("OK", s.code, "Replaced")
	v.drop(s, uids)
	s.code = ""
	s.upTo()
	return nil
}

// post takes what is said of a message, up to the announcement of it.
func (p *parser) post() post {
	var x post
	if p.is('(') {
		x.flags = p.flags()
		p.sp()
	}
	if p.is('"') {
		x.when = p.dateTime()
		p.sp()
	}
	if c := p.peek(); c == 'U' || c == 'u' {
		if p.verb() != "UTF8" {
			p.fail("Syntax error: message expected")
		}
		p.sp()
		p.need('(')
		x.utf8 = true
	}
	if p.is('~') { // with any bytes in it (RFC 3516)
		p.skip()
	}
	x.size = p.literal()
	return x
}

// receive takes the message that was announced.
func (s *session) receive(x post) (store.New, func(), error) {
	names, err := flagNames(x.flags)
	if err != nil {
		return store.New{}, nil, err
	}
	s.p.open()
	msg, done, err := s.o.Receive(s.ctx, literalReader{&s.p})
	if err != nil {
		return store.New{}, nil, err
	}
	if s.p.lit > 0 { // it ended early, which is the client's going
		done()
		return store.New{}, nil, io.ErrUnexpectedEOF
	}
	if x.utf8 {
		s.p.need(')')
	}
	msg.Flags, msg.Date = names, x.when
	return msg, done, nil
}

// A literalReader reads the literal that was announced.
type literalReader struct{ p *parser }

func (r literalReader) Read(b []byte) (int, error) {
	if r.p.lit == 0 {
		return 0, io.EOF
	}
	if r.p.err != nil || !r.p.have() {
		if r.p.err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		}
		return 0, r.p.err
	}
	n := copy(b[:min(int64(len(b)), r.p.lit)], r.p.buf)
	r.p.buf = r.p.buf[n:]
	r.p.lit -= int64(n)
	return n, nil
}
