package imapd

import (
	"io"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// append is APPEND. What can be refused is refused before the message is asked
// for.
func (s *session) append(bool) error {
	p := &s.p
	p.sp()
	name := p.mailbox()
	p.sp()
	flags, when := p.about()
	n := p.literal()
	if p.err != nil {
		return p.err
	}
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return tryCreate(err)
	}
	names, err := flagNames(flags)
	if err != nil {
		return err
	}
	if n > s.limit() {
		return no(imap.ResponseCodeTooBig, "The message is too big")
	}
	msg, done, err := s.receive()
	if err != nil {
		return err
	}
	defer done()
	if err := p.end(); err != nil {
		return err
	}
	msg.Flags, msg.Date = names, when
	out, err := s.acct.Append(s.ctx, m.ID, msg)
	if err != nil {
		return err
	}
	s.code = "APPENDUID " + decimal(out.UIDValidity) + " " + decimal(out.UID)
	return nil
}

// about takes what is said of a message: its flags and its date.
func (p *parser) about() (flags []imap.Flag, when time.Time) {
	if p.is('(') {
		flags = p.flags()
		p.sp()
	}
	if p.is('"') {
		when = p.dateTime()
		p.sp()
	}
	return flags, when
}

// receive takes the message that was announced.
func (s *session) receive() (store.New, func(), error) {
	s.p.open()
	msg, done, err := s.o.Receive(s.ctx, literalReader{&s.p})
	if err != nil {
		return store.New{}, nil, err
	}
	if s.p.lit > 0 { // it ended early, which is the client's going
		done()
		return store.New{}, nil, io.ErrUnexpectedEOF
	}
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
